"""HTTP service: the champion of a pipeline over HTTP: requests, limits, metrics, and the application."""
