"""Where model servers are found: a name in DNS, or a file."""
