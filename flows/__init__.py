"""The order of events, one Prefect flow a file."""
