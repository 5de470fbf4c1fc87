"""Bytes to messages and back: synchronous and sans-I/O."""
