"""Tables and plots from the chain."""
