"""Record: what happened, and who may serve: manifests, the chain of nights, the promotion log, overrides."""
