"""A model server that this process starts, watches and ends."""
