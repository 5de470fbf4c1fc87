"""Listeners: one adapter per client connection, for WebSockets and plain HTTP on one port."""
