"""Pages for people, as static files: no build step, nothing of third parties, nothing that the network has to bring."""
