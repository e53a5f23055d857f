"""What the logs are: periods, sources, the vocabulary, and the one door to DuckDB."""
