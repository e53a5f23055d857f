"""Formats of log files: selection of files and rows, csv, JSON lines, and compression."""
