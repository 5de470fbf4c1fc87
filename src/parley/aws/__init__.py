"""AWS's own client of SageMaker's bidirectional streams, as a stream of messages."""
