"""What this service is called by OpenTelemetry."""

from opentelemetry.sdk import resources

from parley import __version__

SERVICE_NAME = "parley"


def otlp_resource() -> resources.Resource:
    """This service; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before."""
    found = resources.Resource.create({resources.SERVICE_VERSION: __version__})
    if str(found.attributes.get(resources.SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        return found.merge(resources.Resource({resources.SERVICE_NAME: SERVICE_NAME}))
    return found
