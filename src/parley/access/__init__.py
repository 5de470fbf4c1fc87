"""Who may do what: credentials, signatures, and the memory of requests that were taken."""
