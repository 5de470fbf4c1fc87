import ssl

import pytest

from parley.client.refusal import connect_failure
from parley.core.errors import Retry


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (ConnectionRefusedError(111, "refused"), "Nothing listens at ws://host"),
        (TimeoutError(), "did not answer in time"),
        (ssl.SSLCertVerificationError(1, "bad"), "certificate that this machine trusts"),
        (ConnectionResetError(104, "reset"), "hung up"),
        (OSError(113, "No route to host"), "No route to host"),
        (OSError("odd"), "OSError"),
    ],
)
def test_each_way_to_fail_to_connect_says_what_to_look_at(error: Exception, named: str) -> None:
    failure = connect_failure("ws://host", error)
    assert failure.code == "connect-failed"
    assert failure.retry is Retry.NEW_SESSION
    assert named in failure.message
