"""The session as a pure state machine: events in, effects out; no I/O, clock, randomness or logging."""
