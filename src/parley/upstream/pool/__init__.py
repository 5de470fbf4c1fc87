"""Which model server a session gets, and when it gets another."""
