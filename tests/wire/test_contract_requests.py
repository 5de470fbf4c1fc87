"""The requests of the session contract as its server reads them."""

import json
from typing import Any

import pytest

from parley.wire import contract_requests as requests


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (requests.END_SESSION, {"type": requests.SESSION_END}),
        (requests.CLEAR_INPUT, {"type": requests.CLEAR}),
        (requests.encode_opt_in(""), {"type": "session.update", "model": "", "parley": {"resume": True}}),
        (
            requests.encode_opt_in("m", input_policy="terminate"),
            {"type": "session.update", "model": "m", "parley": {"resume": True, "input_policy": "terminate"}},
        ),
        (
            requests.encode_opt_in("m", input_policy="block", output_policy="drop-oldest"),
            {
                "type": "session.update",
                "model": "m",
                "parley": {"resume": True, "input_policy": "block", "output_policy": "drop-oldest"},
            },
        ),
        (
            requests.encode_opt_in("m", retention="debug-audio", consent=True),
            {
                "type": "session.update",
                "model": "m",
                "parley": {"resume": True, "retention": "debug-audio", "consent": True},
            },
        ),
        (requests.encode_resume('a"b', 7), {"type": requests.SESSION_RESUME, "token": 'a"b', "seq": 7}),
        (requests.encode_ack(2**53), {"type": requests.SESSION_ACK, "seq": 2**53}),
        (requests.encode_cancel(), {"type": requests.CANCEL}),
        (requests.encode_cancel(4), {"type": requests.CANCEL, "item_id": "item_4"}),
    ],
)
def test_a_request_says_what_the_protocol_names(message: bytes, expected: dict[str, Any]) -> None:
    assert json.loads(message) == expected
