"""Simulation: worlds whose truth is known, files as an upstream system would deliver them, and the best possible score."""
