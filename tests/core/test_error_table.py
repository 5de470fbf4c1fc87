"""The table is total, its numbers mean something on their wires, and the page that people read says the same."""

import re
import runpy
from dataclasses import fields
from http import HTTPStatus
from pathlib import Path

import pytest

from parley.core.errors import ERRORS, ErrorSpec, Fault, Retry

ROOT = Path(__file__).parents[2]
SPECS = list(ERRORS.values())
CODES = list(ERRORS)

# RFC 6455 section 7.4.1 and the IANA registry: what an endpoint may send (1005, 1006 and 1015 it may not).
SENDABLE_CLOSE_CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}
# RFC 6455 section 7.4.2: 4000 to 4999 are for private use. Ours end in the HTTP status of the same refusal; 416 is
# "range not satisfiable", the events that can't be sent again.
# 426 is "upgrade required", of this server.
OWN_CLOSE_CODES = {4401, 4403, 4404, 4409, 4410, 4416, 4426}
H2_ERRORS = {  # RFC 9113 section 7
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
}
AWS_SIGNING_EXCEPTIONS = {
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "AccessDeniedException",
}
AWS_CLIENT_EXCEPTIONS = {"InputValidationError", "ThrottlingException", *AWS_SIGNING_EXCEPTIONS}
AWS_EXCEPTIONS = {
    "ModelError",
    "ServiceUnavailableError",
    "InternalServerError",
    *AWS_CLIENT_EXCEPTIONS,
}
OPENAI_TYPES = {"invalid_request_error", "server_error"}
VLLM_CODES = {
    "invalid_json",
    "unknown_event",
    "invalid_event",
    "model_not_found",
    "model_not_validated",
    "invalid_audio",
    "processing_error",
}


def test_codes_are_unique() -> None:
    assert [spec.code for spec in SPECS] == CODES
    assert len(set(CODES)) == len(CODES)


def test_only_a_dropped_message_a_turn_that_failed_alone_or_a_move_leaves_the_session_as_it_was() -> None:
    assert {spec.code for spec in SPECS if spec.retry is Retry.SAME_SESSION} == {
        "invalid-json",
        "invalid-event",
        "unknown-event",
        "invalid-audio",
        "binary-frame",
        "model-not-found",
        "model-not-set",
        "consent-missing",
        "moved",
        "store-unavailable",
        "turn-failed",
    }


@pytest.mark.parametrize("spec", SPECS, ids=CODES)
class TestEveryRow:
    def test_names_its_code_in_kebab_case(self, spec: ErrorSpec) -> None:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", spec.code)

    def test_leaves_no_field_empty(self, spec: ErrorSpec) -> None:
        assert all(getattr(spec, field.name) for field in fields(ErrorSpec))

    def test_has_a_status_that_says_it_is_an_error(self, spec: ErrorSpec) -> None:
        status = HTTPStatus(spec.http_status)
        assert status.is_client_error if spec.fault is Fault.CLIENT else status.is_server_error or status == 424

    def test_closes_a_websocket_with_a_code_that_may_be_sent(self, spec: ErrorSpec) -> None:
        assert spec.ws_close in SENDABLE_CLOSE_CODES or spec.ws_close in OWN_CLOSE_CODES
        # 1000 and 1001 would look like a success.
        assert spec.ws_close > 1001

    def test_fits_its_code_into_a_close_frame(self, spec: ErrorSpec) -> None:
        # RFC 6455 section 5.5: 125 bytes, two of which are the number.
        assert len(spec.code.encode()) <= 123

    def test_knows_a_word_of_every_other_wire(self, spec: ErrorSpec) -> None:
        assert spec.h2_error in H2_ERRORS
        assert spec.aws_exception in AWS_EXCEPTIONS
        assert spec.openai_type in OPENAI_TYPES
        assert spec.vllm_code in VLLM_CODES

    def test_speaks_in_whole_sentences(self, spec: ErrorSpec) -> None:
        for sentence in (spec.summary, spec.fix):
            assert sentence[0].isupper()
            assert sentence.endswith(".")

    def test_puts_the_same_fault_on_every_wire(self, spec: ErrorSpec) -> None:
        is_client = spec.fault is Fault.CLIENT
        assert (spec.aws_exception in AWS_CLIENT_EXCEPTIONS) is is_client
        assert (spec.openai_type == "invalid_request_error") is is_client
        assert spec.aws_exception != "ModelError" or spec.fault is Fault.UPSTREAM
        assert (spec.aws_exception == "ServiceUnavailableError") is (spec.http_status == 503)

    def test_says_that_a_retry_may_help_when_the_client_is_not_at_fault(self, spec: ErrorSpec) -> None:
        assert spec.fault is Fault.CLIENT or spec.retry is not Retry.NEVER


@pytest.mark.parametrize(
    ("code", "status", "close", "vllm_code"),
    [
        ("invalid-json", 400, 1008, "invalid_json"),
        ("binary-frame", 400, 1003, "invalid_event"),
        ("message-too-large", 413, 1009, "invalid_event"),
        ("model-not-found", 404, 1008, "model_not_found"),
        ("model-not-set", 400, 1008, "model_not_validated"),
        ("upstream-closed", 424, 1011, "processing_error"),
        ("at-capacity", 503, 1013, "processing_error"),
        ("shutting-down", 503, 1012, "processing_error"),
        ("internal-error", 500, 1011, "processing_error"),
        ("wrong-principal", 403, 4403, "invalid_event"),
        ("unknown-session", 404, 4404, "invalid_event"),
        ("superseded", 409, 4409, "invalid_event"),
        ("expired", 410, 4410, "invalid_event"),
        ("gap", 409, 4416, "invalid_event"),
        ("turn-failed", 424, 1011, "processing_error"),
    ],
)
def test_the_numbers_that_clients_rely_on_stay(code: str, status: int, close: int, vllm_code: str) -> None:
    spec = ERRORS[code]
    assert (spec.http_status, spec.ws_close, spec.vllm_code) == (status, close, vllm_code)


# ---- the page

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "errors_page.py"))


def test_the_page_lists_exactly_the_codes_of_the_table() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)
    # Once for people, once for the wires.
    assert sorted(listed) == sorted(CODES * 2)


def test_the_page_says_what_the_table_says() -> None:
    assert SCRIPT["page"](PAGE, SPECS) == PAGE, "run: .venv/bin/python scripts/errors_page.py"


def test_a_page_that_lags_behind_the_table_is_noticed() -> None:
    assert SCRIPT["page"](PAGE, SPECS[1:]) != PAGE


@pytest.mark.parametrize("marker", ["BEGIN", "END"])
def test_a_page_without_its_markers_is_refused(marker: str) -> None:
    with pytest.raises(ValueError, match="lacks the line"):
        SCRIPT["page"](PAGE.replace(SCRIPT[marker], ""), SPECS)
