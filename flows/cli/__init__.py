"""The console script: its commands that are no Prefect flows."""
