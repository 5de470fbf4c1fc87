"""JSON Web Tokens: whose they are, verified with the keys that their issuer publishes."""
