"""Correction: the corrector protocol and what correctors share."""
