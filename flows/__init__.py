"""The order of events: one flow a file, no numbers, no SQL, no paths."""
