"""Metrics of a node: what each is, where it is counted, and the three forms in which it goes out."""
