"""The operator's port: what it shows and does."""
