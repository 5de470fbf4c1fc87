"""The values of the session contract."""

import pytest

from parley.core.content import Text
from parley.core.usage import Usage
from parley.wire.contract import Delta, Done, Failed, Revised, TurnFailed, Updated, item_of

CANARY = "canary7d1f"
USAGE = Usage(1, 2, 3)


@pytest.mark.parametrize(
    "event",
    [
        Updated("s", CANARY, 1.0),
        Delta(Text.of(CANARY)),
        Done(Text.of(CANARY), USAGE),
        Revised(1, 0, 1, Text.of(CANARY), 0, 1),
        TurnFailed(1, "gap", CANARY, "client", "never"),
        Failed(CANARY, None),
    ],
)
def test_content_and_tokens_show_in_no_repr(event: object) -> None:
    assert CANARY not in repr(event)


@pytest.mark.parametrize(
    ("item_id", "item"),
    [
        (None, 0),
        ("item_1", 1),
        ("item_9999999999999999", 9_999_999_999_999_999),
        ("item_0", 0),
        ("item_01", 0),
        ("item_10000000000000000", 0),
        ("item_1\n", 0),
        ("item_\u0661", 0),
        ("item_", 0),
        ("", 0),
    ],
)
def test_an_item_is_known_by_its_form(item_id: str | None, item: int) -> None:
    assert item_of(item_id) == item
