"""The client side: a realtime session, captions, and pacing."""
