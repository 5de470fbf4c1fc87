"""The operation of SageMaker's endpoint: who gets a stream, on what, and how everybody else is told why not."""

import uuid
from email.utils import parsedate_to_datetime

import pytest

from parley.access.caller import Caller
from parley.access.gate import Gate
from parley.access.identity import Identity, RequestHead
from parley.core.errors import ERRORS, ParleyError
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from parley.ingress.invocation import Invocation
from tests.ingress.http2.streams import (
    QUICK,
    TARGET,
    Endpoint,
    Event,
    Stream,
    StubContainer,
    make_request,
    open_on,
    open_stream,
)
from tests.support.ingress import StubHost
from tests.support.logs import LogWatch
from tests.support.seams import SECRET

pytestmark = pytest.mark.usefixtures("log")

VARIANT = "X-Amzn-SageMaker-Target-Variant"
PATH = "X-Amzn-SageMaker-Model-Invocation-Path"
QUERY = "X-Amzn-SageMaker-Model-Query-String"
STATUS = {"ModelError": 424, "InternalServerError": 500, "ServiceUnavailableError": 503}


class Doorman:
    """A `Method` that knows everybody as the same, or refuses."""

    name = "a nod"
    is_beside_others = False

    def __init__(self, refusal: ParleyError | None = None) -> None:
        self.asked: list[RequestHead] = []
        self._refusal = refusal

    def recognises(self, request: RequestHead) -> bool:
        return True

    def authenticate(self, request: RequestHead) -> Identity:
        self.asked.append(request)
        if self._refusal is not None:
            raise self._refusal
        return Identity(Caller("somebody"))


def refused(stream: Stream, shape: str, code: str) -> Event:
    """The body of an error before the stream, which has to be of this shape and code."""
    exchange = stream.exchange
    error = exchange.error
    assert exchange.headers["x-amzn-errortype"] == shape
    assert exchange.status == STATUS.get(shape, ERRORS[code].http_status)
    assert uuid.UUID(exchange.headers["x-amzn-requestid"])
    assert parsedate_to_datetime(exchange.headers["date"]).tzinfo is not None
    assert error["ErrorCode"] == code
    further = {"OriginalStatusCode", "OriginalMessage"} if shape == "ModelError" else set()
    assert {"Message", "ErrorCode"} <= set(error) <= {"Message", "ErrorCode"} | further
    return error


# ---- a stream that is taken


async def test_a_session_begins_and_the_server_speaks_first() -> None:
    host = StubHost()
    stream = open_stream(Endpoint(host, variant="blue"))
    exchange = stream.exchange
    assert exchange.status == 200
    assert exchange.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert exchange.headers["x-amzn-invoked-production-variant"] == "blue"
    assert exchange.headers["x-amzn-requestid"] == str(uuid.UUID(exchange.headers["x-amzn-requestid"]))
    (created,) = exchange.events
    assert (created["type"], created["id"]) == ("session.created", "sess-stub")
    assert host.sessions[0].is_started
    assert not exchange.is_finished


async def test_each_stream_has_a_request_id_of_its_own() -> None:
    bidirectional = Bidirectional(Endpoint(StubHost()), Gate([Doorman()]))
    ids = {open_on(bidirectional).exchange.headers["x-amzn-requestid"] for _ in range(3)}
    assert len(ids) == 3


async def test_what_is_asked_for_goes_to_the_endpoints() -> None:
    endpoint = Endpoint(StubHost())
    headers = {VARIANT: "blue-2", PATH: "v1/realtime", QUERY: "resume=0&language=de%2DDE"}
    open_stream(endpoint, make_request("/endpoints/a-B3/invocations-bidirectional-stream?", headers))
    assert endpoint.asked == [Invocation("a-B3", "blue-2", "v1/realtime", "resume=0&language=de%2DDE")]


async def test_a_session_belongs_to_whoever_the_authenticator_says() -> None:
    host = StubHost()
    open_stream(Endpoint(host), gate=Gate([Doorman()]))
    assert [caller.principal for caller in host.callers] == ["somebody"]


async def test_the_authenticator_sees_the_request_as_it_was_signed() -> None:
    doorman = Doorman()
    request = make_request(TARGET + "?", {"x-amz-date": "20261122T101500Z", "x-odd": "\udcff\u00e9"})
    open_stream(request=request, gate=Gate([doorman]))
    (signed,) = doorman.asked
    assert (signed.method, signed.target) == ("POST", TARGET + "?")
    assert signed.headers == (
        (":authority", "localhost:8443"),
        ("content-type", "application/vnd.amazon.eventstream"),
        ("x-amz-date", "20261122T101500Z"),
        ("x-odd", "\udcff\u00e9"),
    )


@pytest.mark.parametrize("path", ["v1/realtime", "invocations-bidirectional-stream"])
async def test_the_routes_of_a_container_that_is_parley_are_those_of_sessions(path: str) -> None:
    assert open_stream(request=make_request(headers={PATH: path})).exchange.status == 200


@pytest.mark.parametrize(
    "media_type", ["application/vnd.amazon.eventstream; v=1", "Application/Vnd.Amazon.EventStream"]
)
async def test_a_media_type_is_one_whatever_its_case_and_parameters(media_type: str) -> None:
    assert open_stream(request=make_request(content_type=media_type)).exchange.status == 200


async def test_headers_that_the_operation_does_not_know_change_nothing() -> None:
    endpoint = Endpoint(StubHost())
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "a b", "X-Amzn-SageMaker-Inference-Id": "x", "accept": "a/b"}
    assert open_stream(endpoint, make_request(headers=headers)).exchange.status == 200
    assert endpoint.asked == [Invocation("parley")]


# ---- AWS's patterns


@pytest.mark.parametrize("name", ["a", "0", "a--b", "A" * 63])
@pytest.mark.parametrize("where", ["endpoint", VARIANT])
async def test_names_are_taken_by_awss_pattern(name: str, where: str) -> None:
    request = (
        make_request(f"/endpoints/{name}/invocations-bidirectional-stream")
        if where == "endpoint"
        else make_request(headers={where: name})
    )
    assert open_stream(request=request).exchange.status == 200


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a.b", "a b", "ä", "a" * 64, "a" * 5_000, "a\n", "-" * 60])
@pytest.mark.parametrize("where", ["endpoint", VARIANT])
async def test_other_names_are_refused(name: str, where: str) -> None:
    request = (
        make_request(f"/endpoints/{name.replace(' ', '%20')}/invocations-bidirectional-stream")
        if where == "endpoint"
        else make_request(headers={where: name})
    )
    refused(open_stream(request=request), "InputValidationError", "bad-request")


@pytest.mark.parametrize("path", ["", "/v1/realtime", "v1/", "v1//x", "v 1", "v1?x", "a" * 101])
async def test_other_invocation_paths_than_awss_are_refused(path: str) -> None:
    stream = open_stream(Endpoint(StubContainer()), make_request(headers={PATH: path}))
    refused(stream, "InputValidationError", "bad-request")


@pytest.mark.parametrize(
    "query", ["", "a", "a=", "=b", "a=b&", "a=b&&c=d", "a=b+c", "a=%2", "-a=b", "a=" + "b" * 2_047]
)
async def test_other_query_strings_than_awss_are_refused(query: str) -> None:
    stream = open_stream(Endpoint(StubContainer()), make_request(headers={QUERY: query}))
    refused(stream, "InputValidationError", "bad-request")


async def test_the_longest_path_and_query_are_taken() -> None:
    container = StubContainer()
    path, query = "a/" * 49 + "ab", "a=" + "%41" * 682
    stream = open_stream(Endpoint(container), make_request(headers={PATH: path, QUERY: query}))
    await stream.exchange.changes.until("an answer", lambda: bool(stream.exchange.status))
    assert container.asked[0][:2] == (path, query)
    stream.handler.lost()


@pytest.mark.parametrize("name", [VARIANT, PATH, QUERY, "content-type"])
async def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    values = {VARIANT: "blue", PATH: "v1/realtime", QUERY: "a=b", "content-type": "application/json"}
    twice = [(name, values[name])] * 2
    error = refused(open_stream(request=make_request(headers=twice)), "InputValidationError", "bad-request")
    assert "more than once" in error["Message"]


@pytest.mark.parametrize("media_type", [None, "", "application/json", "application/vnd.amazon.eventstreams"])
async def test_another_content_type_is_refused(media_type: str | None) -> None:
    error = refused(open_stream(request=make_request(content_type=media_type)), "InputValidationError", "bad-request")
    assert "application/vnd.amazon.eventstream" in error["Message"]


async def test_another_method_is_refused() -> None:
    error = refused(open_stream(request=make_request(method="GET")), "InputValidationError", "bad-request")
    assert "POST" in error["Message"]


async def test_what_a_request_says_is_not_quoted_in_an_answer() -> None:
    stream = open_stream(request=make_request(headers={VARIANT: SECRET + "_"}))
    assert SECRET.encode() not in stream.exchange.body


# ---- errors before the stream


@pytest.mark.parametrize("code", ERRORS)
async def test_every_error_before_the_stream_is_a_shape_of_the_service(code: str) -> None:
    cause = ParleyError(code, "It was so.")
    error = refused(open_stream(Endpoint(StubHost(), fails_with=cause)), ERRORS[code].aws_exception, code)
    assert error["Message"] == cause.message


async def test_a_model_error_says_what_the_model_server_said() -> None:
    cause = ParleyError("container-refused", "It said no.", original_status=403)
    error = refused(open_stream(Endpoint(StubHost(), fails_with=cause)), "ModelError", "container-refused")
    assert (error["OriginalStatusCode"], error["OriginalMessage"]) == (403, "It said no.")


async def test_a_model_error_of_nobody_has_no_status_of_his() -> None:
    cause = ParleyError("container-refused", "Nobody is there.")
    error = refused(open_stream(Endpoint(StubHost(), fails_with=cause)), "ModelError", "container-refused")
    assert "OriginalStatusCode" not in error


@pytest.mark.parametrize("code", ["at-capacity", "shutting-down", "upstream-unavailable"])
async def test_a_host_that_can_begin_nothing_refuses_with_a_hint(code: str) -> None:
    host = StubHost()
    host.refuses_check = ParleyError(code, retry_after_s=2.6)
    stream = open_stream(Endpoint(host))
    refused(stream, ERRORS[code].aws_exception, code)
    assert stream.exchange.headers["retry-after"] == "3"
    assert stream.exchange.headers["x-amz-retry-after"] == "2600"
    assert host.sessions == []


async def test_a_host_that_changes_its_mind_refuses_before_the_stream_as_well() -> None:
    host = StubHost()
    host.refuses_open = ParleyError("at-capacity", retry_after_s=0.1)
    stream = open_stream(Endpoint(host))
    refused(stream, "ServiceUnavailableError", "at-capacity")
    assert stream.exchange.headers["retry-after"] == "1"


@pytest.mark.parametrize("code", ["not-authenticated", "unknown-credentials", "invalid-signature", "request-replayed"])
async def test_who_is_not_let_in_learns_nothing_of_endpoints(code: str) -> None:
    endpoint = Endpoint(StubHost())
    stream = open_stream(endpoint, make_request(headers={VARIANT: "_"}), gate=Gate([Doorman(ParleyError(code))]))
    refused(stream, ERRORS[code].aws_exception, code)
    assert stream.exchange.status == 403
    assert endpoint.asked == []


@pytest.mark.parametrize("path", ["v2/listen", "v1", "ping"])
async def test_an_invocation_path_of_no_session_is_answered_as_a_container_would(path: str) -> None:
    host = StubHost()
    error = refused(open_stream(Endpoint(host), make_request(headers={PATH: path})), "ModelError", "not-found")
    assert error["OriginalStatusCode"] == 404
    assert host.sessions == []


async def test_a_query_with_too_many_fields_is_refused() -> None:
    query = "&".join(["a=b"] * 100)
    refused(open_stream(request=make_request(headers={QUERY: query})), "InputValidationError", "bad-request")


async def test_a_failure_of_ours_is_told_as_such_and_logged_without_what_it_says(log: LogWatch) -> None:
    log.expect_errors("parley.ingress")
    stream = open_stream(Endpoint(StubHost(), fails_with=RuntimeError("what nobody may read")))
    error = refused(stream, "InternalServerError", "internal-error")
    assert "what nobody may read" not in error["Message"]
    assert [record.levelname for record in log.records if record.exc_info] == ["ERROR"]


async def test_what_still_comes_after_an_answer_is_nothing() -> None:
    stream = open_stream(request=make_request(method="GET"))
    before = bytes(stream.exchange.body)
    stream.send(b"whatever")
    stream.handler.writing_blocked()
    stream.handler.writing_unblocked()
    stream.handler.input_ended()
    stream.handler.lost()
    assert bytes(stream.exchange.body) == before


async def test_a_refused_client_that_does_not_read_is_cut() -> None:
    stream = open_stream(request=make_request(method="GET"), limits=QUICK)
    await stream.exchange.until_reset()


# ---- other routes


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "/endpoints/parley/invocations",
        "/endpoints/parley/x/invocations-bidirectional-stream",
        "/invocations-bidirectional-stream",
        TARGET + "/",
        "//endpoints/parley/invocations-bidirectional-stream",
    ],
)
async def test_there_is_no_other_route(target: str) -> None:
    doorman = Doorman()
    stream = open_stream(request=make_request(target), gate=Gate([doorman]))
    refused(stream, "InputValidationError", "not-found")
    assert stream.exchange.status == 404
    assert doorman.asked == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("refusal", [None, ParleyError("at-capacity")])
async def test_a_node_that_is_ready_or_merely_full_says_so(method: str, refusal: ParleyError | None) -> None:
    host = StubHost()
    host.refuses_check = refusal
    bidirectional = Bidirectional(Endpoint(host), Gate([Doorman()]), check=host.check)
    exchange = open_on(bidirectional, make_request("/ping?now", method=method)).exchange
    assert (exchange.status, bytes(exchange.body), exchange.is_finished) == (200, b'{"status":"ready"}', True)


async def test_a_node_that_is_not_ready_says_why() -> None:
    host = StubHost()
    host.refuses_check = ParleyError("shutting-down")
    bidirectional = Bidirectional(Endpoint(host), Gate([Doorman()]), check=host.check)
    refused(open_on(bidirectional, make_request("/ping", method="GET")), "ServiceUnavailableError", "shutting-down")


async def test_a_listener_that_answers_is_healthy_where_nobody_says_otherwise() -> None:
    bidirectional = Bidirectional(Endpoint(StubHost()), Gate([Doorman()]), StreamLimits())
    assert open_on(bidirectional, make_request("/ping", method="GET")).exchange.status == 200
