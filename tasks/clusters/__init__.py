"""Clusters: Dask and Ray clusters that are there already, to which a run gives its work."""
