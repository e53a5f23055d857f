"""May it serve: paired evidence in, a verdict with reasons out."""
