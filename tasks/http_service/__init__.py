"""HTTP service: the champion of a pipeline over HTTP: requests, limits, metrics, and the application.

A field of a request is declared in `schemas` and used in `app`; a field of an answer is declared in `answers` and filled in
`app`. /openapi.json is made from both.
"""
