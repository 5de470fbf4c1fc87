"""API keys: made, kept as hashes in a file, and recognised."""
