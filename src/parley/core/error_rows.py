"""How a row of the error table is written: what goes without saying for errors of each side."""

from parley.core.error_spec import ErrorSpec, Fault, Retry


def client_error(
    code: str,
    summary: str,
    fix: str,
    *,
    vllm: str = "invalid_event",
    http: int = 400,
    close: int = 1008,
    retry: Retry = Retry.SAME_SESSION,
    aws: str = "InputValidationError",
) -> ErrorSpec:
    """An error whose cause the client has to remove."""
    return ErrorSpec(
        code=code,
        fault=Fault.CLIENT,
        retry=retry,
        http_status=http,
        ws_close=close,
        h2_error="NO_ERROR",
        aws_exception=aws,
        openai_type="invalid_request_error",
        vllm_code=vllm,
        summary=summary,
        fix=fix,
    )


def upstream_error(
    code: str, summary: str, fix: str, *, http: int = 424, close: int = 1011, retry: Retry = Retry.NEW_SESSION
) -> ErrorSpec:
    """An error that a model server made."""
    return ErrorSpec(
        code=code,
        fault=Fault.UPSTREAM,
        retry=retry,
        http_status=http,
        ws_close=close,
        h2_error="NO_ERROR",
        aws_exception="ServiceUnavailableError" if http == 503 else "ModelError",
        openai_type="server_error",
        vllm_code="processing_error",
        summary=summary,
        fix=fix,
    )


def server_error(
    code: str,
    summary: str,
    fix: str,
    *,
    http: int = 503,
    close: int = 1013,
    h2: str = "REFUSED_STREAM",
    retry: Retry = Retry.NEW_SESSION,
) -> ErrorSpec:
    """An error that lies with this server."""
    return ErrorSpec(
        code=code,
        fault=Fault.SERVER,
        retry=retry,
        http_status=http,
        ws_close=close,
        h2_error=h2,
        aws_exception="ServiceUnavailableError" if http == 503 else "InternalServerError",
        openai_type="server_error",
        vllm_code="processing_error",
        summary=summary,
        fix=fix,
    )
