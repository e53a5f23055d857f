"""What to do (Plan) and where (Settings)."""
