"""Retraining: the strategy protocol and what strategies share; the contract that tests of strategies import."""
