"""A registry in Prometheus's text, or in OpenMetrics's, which has room for exemplars."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All that is counted, in the form that an Accept header asks for, and what to call it in Content-Type."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
