"""Layers: what several models are built from."""
