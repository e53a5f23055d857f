"""Load the champion once, score and recommend many times."""
