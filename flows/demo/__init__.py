"""Demos: the loop on a simulated world, on a file of your own, and with clicks that the champion earned."""
