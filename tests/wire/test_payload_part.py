import json
from collections.abc import Mapping
from io import BytesIO

import pytest
from aws_sdk_sagemaker_runtime_http2 import models
from hypothesis import given
from hypothesis import strategies as st
from smithy_aws_event_stream._private.deserializers import EventDeserializer
from smithy_aws_event_stream._private.serializers import EventSerializer
from smithy_aws_event_stream.events import Event
from smithy_json import JSONCodec

from parley.core.errors import ParleyError
from parley.wire.event_stream import Decoder, Message, Timestamp, Value, encode
from parley.wire.payload_part import (
    PayloadPart,
    StreamFailure,
    encode_internal_stream_failure,
    encode_model_stream_error,
    encode_part,
    is_signing_event,
    parse_part,
    parse_response,
)

SECRET = "confidential"


class Serializer(EventSerializer):
    """AWS's, whose base class leaves a method open that nobody calls."""

    def flush(self) -> None:
        return None


def decoded(data: bytes) -> Message:
    return Decoder().decode(data)


def by_sdk(data: bytes) -> object:
    """The event as AWS's SDK for Python hands it to its user."""
    event = Event.decode(BytesIO(data))
    assert event is not None
    return models._ResponseStreamEventDeserializer().deserialize(EventDeserializer(event, JSONCodec()))


def from_sdk(part: models.RequestPayloadPart) -> bytes:
    """The part as the same SDK encodes it."""
    serializer = Serializer(JSONCodec())
    models.RequestStreamEventPayloadPart(value=part).serialize(serializer)
    result = serializer.get_result()
    assert result is not None
    return result.encode()


BOTH = st.booleans()


@given(st.binary(max_size=100), BOTH, BOTH)
def test_a_part_comes_back_as_it_was(data: bytes, is_text: bool, is_complete: bool) -> None:
    message = decoded(encode_part(data, is_text=is_text, is_complete=is_complete))
    assert parse_part(message) == PayloadPart(data, is_text, is_complete)
    assert parse_response(message) == PayloadPart(data, is_text, is_complete)


def test_a_part_is_text_and_complete_unless_told_otherwise() -> None:
    assert parse_part(decoded(encode_part(b"x"))) == PayloadPart(b"x", is_text=True, is_complete=True)


@given(st.binary(min_size=1, max_size=100), BOTH, BOTH)
def test_a_part_is_byte_for_byte_what_awss_sdk_sends(data: bytes, is_text: bool, is_complete: bool) -> None:
    theirs = models.RequestPayloadPart(
        bytes_=data,
        data_type="UTF8" if is_text else "BINARY",
        completion_state="COMPLETE" if is_complete else "PARTIAL",
    )
    assert encode_part(data, is_text=is_text, is_complete=is_complete) == from_sdk(theirs)


def test_a_part_of_awss_sdk_without_optional_fields_is_binary_and_complete() -> None:
    part = models.RequestPayloadPart(bytes_=b"\x00\xff")
    assert parse_part(decoded(from_sdk(part))) == PayloadPart(b"\x00\xff", is_text=False, is_complete=True)


def test_padding_is_taken_and_ignored() -> None:
    part = models.RequestPayloadPart(bytes_=b"x", data_type="UTF8", completion_state="PARTIAL", p="abcdef")
    assert parse_part(decoded(from_sdk(part))) == PayloadPart(b"x", is_text=True, is_complete=False)


@given(st.binary(min_size=1, max_size=100), BOTH, BOTH)
def test_awss_sdk_reads_a_part(data: bytes, is_text: bool, is_complete: bool) -> None:
    event = by_sdk(encode_part(data, is_text=is_text, is_complete=is_complete))
    assert isinstance(event, models.ResponseStreamEventPayloadPart)
    assert event.value.bytes_ == data
    assert event.value.data_type == ("UTF8" if is_text else "BINARY")
    assert event.value.completion_state == ("COMPLETE" if is_complete else "PARTIAL")


def test_awss_sdk_reads_a_model_stream_error() -> None:
    event = by_sdk(encode_model_stream_error('It said "no".', "upstream-closed"))
    assert isinstance(event, models.ResponseStreamEventModelStreamError)
    assert (event.value.message, event.value.error_code) == ('It said "no".', "upstream-closed")


def test_awss_sdk_reads_an_internal_stream_failure() -> None:
    event = by_sdk(encode_internal_stream_failure("A bug."))
    assert isinstance(event, models.ResponseStreamEventInternalStreamFailure)
    assert event.value.message == "A bug."


def test_an_exception_has_the_shapes_fields_as_json() -> None:
    message = decoded(encode_model_stream_error("What.", "code"))
    assert message.headers == {
        ":message-type": "exception",
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
    }
    assert json.loads(message.payload) == {"Message": "What.", "ErrorCode": "code"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (False, True)),
        ({"DataType": "UTF8"}, (True, True)),
        ({"DataType": "BINARY"}, (False, True)),
        ({"CompletionState": "PARTIAL"}, (False, False)),
        ({"DataType": "UTF8", "CompletionState": "PARTIAL"}, (True, False)),
        ({":message-type": "event", ":event-type": "PayloadPart"}, (False, True)),
        ({":event-type": "PayloadPart", ":content-type": "text/plain", "x-other": 5}, (False, True)),
    ],
)
def test_headers_of_a_part_may_be_missing(headers: Mapping[str, Value], expected: tuple[bool, bool]) -> None:
    part = parse_part(Message(headers, b"x"))
    assert (part.data, part.is_text, part.is_complete) == (b"x", *expected)


@pytest.mark.parametrize(
    "headers",
    [
        {"DataType": "utf8"},
        {"DataType": ""},
        {"DataType": SECRET},
        {"DataType": b"UTF8"},
        {"DataType": True},
        {"CompletionState": "FINAL"},
        {"CompletionState": 1, "DataType": "UTF8"},
    ],
)
def test_a_value_that_does_not_exist_is_refused_with_those_that_do(headers: Mapping[str, Value]) -> None:
    with pytest.raises(ParleyError) as caught:
        parse_part(Message(headers, SECRET.encode()))
    assert caught.value.code == "invalid-event-stream"
    assert caught.value.detail == ("DataType must be UTF8 or BINARY, and CompletionState PARTIAL or COMPLETE.")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {":message-type": "exception", ":exception-type": "ModelStreamError"},
        {":message-type": "error"},
        {":message-type": b"event"},
        {":message-type": "event", ":event-type": "initial-request"},
        {":event-type": SECRET},
    ],
)
def test_another_kind_of_event_is_refused(headers: Mapping[str, Value]) -> None:
    with pytest.raises(ParleyError) as caught:
        parse_part(Message(headers, b""))
    assert caught.value.code == "invalid-event-stream"
    assert "PayloadPart" in caught.value.detail
    assert SECRET not in str(caught.value)


def test_a_signing_event_is_known_by_its_signature() -> None:
    inner = encode_part(b"x")
    outer = decoded(encode({":date": Timestamp(1), ":chunk-signature": b"s" * 32}, inner))
    assert is_signing_event(outer)
    assert not is_signing_event(decoded(outer.payload))


def test_a_client_reads_the_exceptions() -> None:
    assert parse_response(decoded(encode_model_stream_error("What.", "code"))) == StreamFailure(
        "ModelStreamError", "What.", "code"
    )
    assert parse_response(decoded(encode_internal_stream_failure("A bug."))) == StreamFailure(
        "InternalStreamFailure", "A bug.", ""
    )


def exception(payload: bytes, kind: Value = "Thrown") -> Message:
    return Message({":message-type": "exception", ":exception-type": kind}, payload)


def test_a_client_reads_an_exceptions_message_in_lower_case() -> None:
    assert parse_response(exception(b'{"message":"slow down","Other":[1]}')) == StreamFailure("Thrown", "slow down", "")


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b'{"Message":5}', b'{"Message":"\xff"}'])
def test_an_exception_that_cannot_be_read_is_a_failure_all_the_same(payload: bytes) -> None:
    assert parse_response(exception(payload)) == StreamFailure("Thrown", "", "")


def test_an_exception_without_a_readable_name_is_a_failure_all_the_same() -> None:
    assert parse_response(exception(b"{}", kind=5)) == StreamFailure("", "", "")


def test_a_client_reads_an_error_that_is_not_modelled() -> None:
    headers = {":message-type": "error", ":error-code": "Throttling", ":error-message": "Slow down."}
    assert parse_response(Message(headers, b"")) == StreamFailure("Throttling", "Slow down.", "Throttling")


def test_a_client_refuses_an_event_of_a_kind_that_it_does_not_know() -> None:
    with pytest.raises(ParleyError) as caught:
        parse_response(Message({":message-type": "event", ":event-type": "initial-response"}, b"{}"))
    assert caught.value.code == "upstream-protocol"
    assert "PayloadPart" in caught.value.detail


def test_neither_a_part_nor_a_failure_prints_what_is_in_it() -> None:
    assert SECRET not in repr(PayloadPart(SECRET.encode()))
    assert SECRET not in repr(StreamFailure("ModelStreamError", SECRET, "code"))
