"""The composition root: settings, wiring, the session runner, lifecycle."""
