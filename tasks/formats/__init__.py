"""Formats: how logs are written in files: which files and rows are wanted, text, JSON, and what is packed."""
