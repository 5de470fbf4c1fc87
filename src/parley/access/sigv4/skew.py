"""How far two clocks may be apart."""

import math

from parley.access.sigv4.stamp import describe_time
from parley.core.errors import ParleyError

SKEW_MAX_S = 300.0
"""What AWS allows, in seconds."""

_SHOWN_MAX_S = 253_402_300_799
"""The last second of the year 9999."""


def check_skew(signed_at_s: float, now_s: float, skew_max_s: float, what: str) -> None:
    """Whether a time of signing is close enough to this server's, both in seconds since 1970.

    Raises:
        ParleyError: clock-skew, whose detail begins with `what` and says both times and how far they are apart.
    """
    apart_s = signed_at_s - now_s
    if abs(apart_s) <= skew_max_s:
        return
    signed_at = describe_time(signed_at_s) if 0 <= signed_at_s <= _SHOWN_MAX_S else "no time of this era"
    raise ParleyError(
        "clock-skew",
        f"{what} was signed at {signed_at}; this server's clock says {describe_time(now_s)}: "
        f"{math.ceil(abs(apart_s))} s {'earlier' if apart_s > 0 else 'later'}, {skew_max_s:g} s are allowed.",
    )
