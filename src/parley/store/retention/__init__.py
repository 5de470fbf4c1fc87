"""What is kept of sessions: encrypted records, each with a key of its own, which is all that has to be shredded."""
