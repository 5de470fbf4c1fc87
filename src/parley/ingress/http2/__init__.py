"""The HTTP/2 listener, and SageMaker's bidirectional streams on it."""
