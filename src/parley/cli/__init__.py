"""Commands: thin, lazily importing."""
