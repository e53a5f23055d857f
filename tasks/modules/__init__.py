"""Modules: what training any model is made of: protocols, settings, losses, embedding operations, optimizers."""
