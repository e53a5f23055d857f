"""Inspection: a look at logs before any night: a sample and its problems, and which column plays which role."""
