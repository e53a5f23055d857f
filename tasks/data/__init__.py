"""Data: logs as tensors, and the vocabulary that gives every id its row."""
