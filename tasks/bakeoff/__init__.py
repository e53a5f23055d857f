"""Bake-offs: a history replayed with many strategies, models and seeds on an equal footing; nothing is promoted."""
