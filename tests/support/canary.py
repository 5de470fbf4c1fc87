"""Marks that must not come out anywhere, and the search for them in whatever form."""

import base64
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from parley.observe.log import ContentFreeHandler, JsonFormatter, TextFormatter
from tests.support.logs import LogWatch

CANARY = "zzkanarienvogel"


def forms(canary: str = CANARY) -> tuple[bytes, ...]:
    """The canary as it is, in hexadecimal, percent-encoded, and as it would show within base64, wherever it begins."""
    plain = canary.encode()
    found = {plain, plain.hex().encode(), quote(canary).encode(), "".join(f"%{byte:02X}" for byte in plain).encode()}
    for offset in range(3):
        # What the neighbours decide of the first and the last characters is left out.
        encoded = base64.b64encode(b"\0" * offset + plain)
        inner = encoded[(offset * 8 + 5) // 6 : (offset + len(plain)) * 8 // 6]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return tuple(sorted(found))


def found_in(*outputs: bytes | str) -> list[tuple[bytes, str]]:
    """Where a form of the canary is, with what is around it."""
    texts = [one.encode("utf-8", "surrogateescape") if isinstance(one, str) else one for one in outputs]
    return [
        (form, repr(text[max(0, text.lower().find(form.lower()) - 60) :][:200]))
        for text in texts
        for form in forms()
        if form.lower() in text.lower()
    ]


@contextmanager
def watched_log(log: LogWatch) -> Iterator[None]:
    """Every record of every library at DEBUG, as production's handlers print it, has none in it."""
    log.include_libraries()
    out = io.StringIO()
    handlers: list[logging.Handler] = []
    for formatter in (TextFormatter(), JsonFormatter()):
        handlers.append(ContentFreeHandler(out))
        handlers[-1].setFormatter(formatter)
        logging.getLogger().addHandler(handlers[-1])
    try:
        yield
    finally:
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
    # The library that only the tests' own client and double use says what it sends.
    lines = [line for line in out.getvalue().splitlines() if "websockets" not in line]
    assert lines, "there was something to look at"
    assert found_in("\n".join(lines)) == []
