import asyncio
import errno
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from parley.core.errors import ParleyError
from parley.observe import log

CANARY = "what-somebody-said"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    quiet = {name: logging.getLogger(name).level for name in log.QUIET_LOGGERS}
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    root.setLevel(level)
    for handler in [one for one in root.handlers if isinstance(one, log.ContentFreeHandler)]:
        root.removeHandler(handler)
    for name, earlier in quiet.items():
        logging.getLogger(name).setLevel(earlier)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


@pytest.fixture
def text() -> io.StringIO:
    stream = Terminal()
    log.configure("debug", "auto", stream)
    return stream


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    log.configure("debug", "auto", stream)
    return stream


def entry(stream: io.StringIO) -> dict[str, object]:
    entry: dict[str, object] = json.loads(stream.getvalue())
    return entry


def fail() -> None:
    raise ValueError(CANARY)


def caught(error: BaseException | None = None) -> BaseException:
    try:
        if error is not None:
            raise error
        fail()
    except BaseException as raised:
        return raised
    raise AssertionError


def test_a_terminal_gets_text(text: io.StringIO) -> None:
    logging.getLogger("parley.server").info("listening on port %d", 8080)
    assert text.getvalue().endswith("info    parley.server   listening on port 8080\n")


def test_anything_else_gets_json(lines: io.StringIO) -> None:
    logging.getLogger("parley.server").info("listening on port %d", 8080)
    written = entry(lines)
    assert (written["level"], written["logger"], written["message"]) == (
        "info",
        "parley.server",
        "listening on port 8080",
    )


def test_the_time_of_a_json_line_names_its_zone(lines: io.StringIO) -> None:
    logging.getLogger("parley").info("hello")
    assert str(entry(lines)["time"]).endswith("+00:00")


def test_text_can_be_asked_for_anywhere() -> None:
    stream = io.StringIO()
    log.configure("info", "text", stream)
    logging.getLogger("parley").info("hello")
    assert stream.getvalue().endswith("hello\n")


def test_records_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    log.configure("warning", "text", stream)
    logging.getLogger("parley").info("hello")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure("info", "text", first)
    log.configure("info", "text", second)
    logging.getLogger("parley").info("hello")
    assert (first.getvalue(), second.getvalue().count("hello")) == ("", 1)


@pytest.mark.parametrize("name", ["aiohttp.access", "picows", "asyncio", "hpack", "smithy_core"])
def test_libraries_are_heard_from_warnings_on(text: io.StringIO, name: str) -> None:
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble")
    assert "chatter" not in text.getvalue()
    assert "trouble" in text.getvalue()


@pytest.mark.parametrize("fixture", ["text", "lines"])
def test_a_traceback_names_types_and_places_but_no_text(fixture: str, request: pytest.FixtureRequest) -> None:
    stream: io.StringIO = request.getfixturevalue(fixture)
    logging.getLogger("parley").error("failed", exc_info=caught())
    assert "ValueError" in stream.getvalue()
    assert "observe/test_log.py:" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_causes_and_members_are_named_without_text(lines: io.StringIO) -> None:
    group = BaseExceptionGroup(CANARY, [caught(), caught(OSError(errno.ECONNREFUSED, CANARY))])
    group.__cause__ = KeyError(CANARY)
    logging.getLogger("parley").error("failed", exc_info=caught(group))
    trace = entry(lines)["exception"]
    assert isinstance(trace, list)
    assert [one["what"] for one in trace] == [
        "ExceptionGroup",
        "ValueError",
        "ConnectionRefusedError (ECONNREFUSED)",
        "KeyError",
    ]
    assert CANARY not in lines.getvalue()


def test_an_exception_that_is_its_own_cause_is_named_once(lines: io.StringIO) -> None:
    error = ValueError()
    error.__context__ = KeyError()
    error.__context__.__context__ = error
    logging.getLogger("parley").error("failed", exc_info=error)
    trace = entry(lines)["exception"]
    assert isinstance(trace, list)
    assert len(trace) == 2


def test_an_error_of_ours_says_its_code_and_summary(text: io.StringIO) -> None:
    logging.getLogger("parley").error("ended: %s", ParleyError("at-capacity", CANARY))
    assert "at-capacity: Every stream that this server may open is in use." in text.getvalue()
    assert CANARY not in text.getvalue()


@pytest.mark.parametrize("arguments", [(ValueError(CANARY),), ({"error": ValueError(CANARY)},)])
def test_an_exception_among_the_arguments_is_described(text: io.StringIO, arguments: tuple[object]) -> None:
    template = "failed: %(error)s" if isinstance(arguments[0], dict) else "failed: %s"
    logging.getLogger("aiohttp.server").error(template, *arguments)
    assert "failed: ValueError" in text.getvalue()
    assert CANARY not in text.getvalue()


def test_an_exception_as_the_message_is_described(text: io.StringIO) -> None:
    logging.getLogger("parley").error(ValueError(CANARY))
    assert text.getvalue().endswith(" ValueError\n")


async def test_what_asyncio_says_of_a_failed_callback_is_without_its_arguments(text: io.StringIO) -> None:
    called = asyncio.Event()

    def callback(said: str) -> None:
        called.set()
        raise ValueError(said)

    asyncio.get_running_loop().call_soon(callback, CANARY)
    await called.wait()
    assert "Exception in callback" in text.getvalue()
    assert CANARY not in text.getvalue()


def test_what_asyncio_says_of_a_lost_exception_is_without_its_text(text: io.StringIO) -> None:
    message = f"Task exception was never retrieved\nfuture: <Task finished exception=ValueError('{CANARY}')>"
    logging.getLogger("asyncio").error(message, exc_info=caught())
    assert "Task exception was never retrieved" in text.getvalue()
    assert CANARY not in text.getvalue()


def test_a_record_that_does_not_format_is_reported_without_its_arguments(
    text: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    record = logging.LogRecord("parley", logging.INFO, "here.py", 1, "%d", (CANARY,), None)
    ours = next(one for one in logging.getLogger().handlers if isinstance(one, log.ContentFreeHandler))
    ours.handle(record)
    said = capsys.readouterr().err
    assert "could not be written: TypeError" in said
    assert CANARY not in said + text.getvalue()


def test_fields_are_written_beside_the_message(lines: io.StringIO) -> None:
    logging.getLogger("parley").info("ended", extra={"turns": 3, "reason": "drained"})
    written = entry(lines)
    assert (written["turns"], written["reason"]) == (3, "drained")


def test_a_field_that_is_no_plain_value_is_named_by_its_type(text: io.StringIO) -> None:
    logging.getLogger("parley").info("ended", extra={"audio": [CANARY]})
    assert text.getvalue().endswith("ended audio=list\n")


def test_a_field_cannot_pose_as_the_level(lines: io.StringIO) -> None:
    logging.getLogger("parley").info("ended", extra={"level": "critical"})
    assert entry(lines)["level"] == "info"


def test_long_messages_and_fields_are_cut(lines: io.StringIO) -> None:
    logging.getLogger("parley").info("x" * 100_000, extra={"field": "y" * 100_000})
    assert len(lines.getvalue()) < log.MESSAGE_MAX_CHARS + log.FIELD_MAX_CHARS + 400


def test_a_message_cannot_forge_a_line_or_steer_the_terminal(text: io.StringIO) -> None:
    logging.getLogger("parley.child").info("%s", "one\n12:00:00 error parley two\x1b[2J")
    assert text.getvalue().count("\n") == 1
    assert "\x1b" not in text.getvalue()


def test_an_exception_nobody_caught_is_logged_without_its_text(text: io.StringIO) -> None:
    log.guard()
    error = caught()
    sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert text.getvalue().count("ValueError at") == 2
    assert CANARY not in text.getvalue()


def test_a_broken_pipe_is_not_complained_about(capsys: pytest.CaptureFixture[str]) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    log.configure("info", "text", Closed())
    logging.getLogger("parley").info("hello")
    assert capsys.readouterr().err == ""


def test_bare_text_leaves_the_time_to_whoever_reads_it() -> None:
    record = logging.makeLogRecord({"name": "parley.engine", "levelname": "INFO", "msg": "ready"})
    assert log.TextFormatter(with_time=False).format(record) == "info    parley.engine   ready"
