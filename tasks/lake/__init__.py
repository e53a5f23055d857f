"""Lake: deliveries of logs, versioned by period; the one door to DuckDB."""
