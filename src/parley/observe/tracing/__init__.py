"""One trace a session: spans from marks, through OpenTelemetry's API. Needs `opentelemetry-api`; who takes the spans is
told by constructor."""
