"""Model containers that speak SageMaker's WebSocket contract."""
