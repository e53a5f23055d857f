"""Kernels: arithmetic on rows of tables, compiled or in torch, that gives the same bytes on every processor."""
