"""An example of somebody else's strategy for nightloop."""
