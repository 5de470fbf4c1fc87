"""What a node can be told, and from where it is read."""
