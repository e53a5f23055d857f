"""One statement a file, plain DuckDB SQL, named for the question it answers."""
