"""How good it was: numbers in, numbers out."""
