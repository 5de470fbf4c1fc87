from parley.core.error_rows import client_error, server_error, upstream_error
from parley.core.error_spec import Fault, Retry


def test_a_clients_error_is_its_own_to_mend_in_the_same_session() -> None:
    row = client_error("a-code", "It is wrong.", "Send it right.")
    assert (row.fault, row.retry, row.http_status, row.ws_close) == (Fault.CLIENT, Retry.SAME_SESSION, 400, 1008)
    assert (row.aws_exception, row.openai_type, row.h2_error) == (
        "InputValidationError",
        "invalid_request_error",
        "NO_ERROR",
    )


def test_a_model_servers_error_asks_for_a_new_session() -> None:
    row = upstream_error("a-code", "It failed.", "Try again.")
    assert (row.fault, row.retry, row.http_status, row.aws_exception) == (
        Fault.UPSTREAM,
        Retry.NEW_SESSION,
        424,
        "ModelError",
    )


def test_a_model_server_that_is_away_is_an_unavailable_service() -> None:
    assert upstream_error("a-code", "It is away.", "Wait.", http=503).aws_exception == "ServiceUnavailableError"


def test_this_servers_error_refuses_the_stream() -> None:
    row = server_error("a-code", "It is full.", "Come back.")
    assert (row.fault, row.http_status, row.ws_close, row.h2_error) == (Fault.SERVER, 503, 1013, "REFUSED_STREAM")
    assert row.aws_exception == "ServiceUnavailableError"


def test_this_servers_bug_is_an_internal_error() -> None:
    assert server_error("a-code", "It broke.", "Report it.", http=500).aws_exception == "InternalServerError"
