"""What the operator sees: logs without content."""
