"""Whether a model server is there and works: what it says, and what it does with a turn of speech."""
