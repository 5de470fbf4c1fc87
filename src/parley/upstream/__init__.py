"""Model servers as seen from the gateway: legs, health, and the supervised child process."""
