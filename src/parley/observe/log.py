"""The log: text on a terminal, one JSON object a line elsewhere, and never what anyone said.

Messages are written by us and hold no content. Exceptions are not: the text of a foreign one may quote the value that
caused it. So no exception's text is ever printed, only its type, where it came from, and for a ParleyError its code and
summary. That holds for tracebacks, for exceptions among a message's arguments, and for what asyncio reports.
"""

import errno
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from traceback import walk_tb
from types import TracebackType
from typing import Literal, TextIO

from parley.core.errors import ParleyError

RECORD_LOGGER = "parley.record"
"""Where sessions' records go at their end."""
MESSAGE_MAX_CHARS = 8192
FIELD_MAX_CHARS = 256
FIELDS_MAX = 40
EXCEPTIONS_MAX = 8
FRAMES_MAX = 30

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
QUIET_LOGGERS = (
    "aiohttp",
    "asyncio",
    "aws_sdk_sagemaker_runtime_http2",
    "botocore",
    "h2",
    "hpack",
    "hyperframe",
    "opentelemetry",
    "picows",
    "smithy_aws_core",
    "smithy_aws_event_stream",
    "smithy_core",
    "smithy_http",
    "urllib3",
)
"""Libraries that log what was sent at DEBUG: headers with signatures and tokens, audio and transcripts."""
# What asyncio says of a task or a callback goes on with the repr of its arguments and of its exception.
_ASYNCIO_REPR = re.compile(r"\s*[<({\[:\n].*", re.DOTALL)

_log = logging.getLogger("parley")


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["auto", "text", "json", "bare"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Write every record of `level` or above to `stream`, by default stderr.

    `auto` is text when the stream is a terminal, `bare` text for somebody who notes the time; text has no sessions'
    records. Of the libraries only warnings are
    written. The last call holds.
    """
    target = stream or sys.stderr
    handler = ContentFreeHandler(target)
    as_text = format in ("text", "bare") or (format == "auto" and target.isatty())
    handler.setFormatter(TextFormatter(with_time=format != "bare") if as_text else JsonFormatter())
    if as_text:
        # Forty numbers in a line are for programs.
        handler.addFilter(lambda record: record.name != RECORD_LOGGER)
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, ContentFreeHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(least)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, least))


def guard() -> None:
    """Log what nobody caught, in any thread or finaliser, instead of having Python print it with its text."""
    sys.excepthook = lambda _, error, __: _log.critical("uncaught exception", exc_info=error)
    sys.unraisablehook = lambda of: _log.error("exception that could not be raised", exc_info=of.exc_value)
    threading.excepthook = lambda of: _log.error("uncaught exception in a thread", exc_info=of.exc_value)


def describe_exception(error: BaseException) -> str:
    """An exception in a few words without its text: its type, an errno's name, a ParleyError's code and summary."""
    if isinstance(error, ParleyError):
        return f"{error.code}: {error.spec.summary}"
    name = type(error).__qualname__
    number = error.errno if isinstance(error, OSError) else None
    return f"{name} ({errno.errorcode[number]})" if number is not None and number in errno.errorcode else name


def trace_exception(error: BaseException) -> list[tuple[str, list[str]]]:
    """An exception, its members and its causes: what each is, and its places in the code, innermost last."""
    return [(describe_exception(one), _places(one.__traceback__)) for one in _related(error)]


def _related(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < EXCEPTIONS_MAX:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions[:EXCEPTIONS_MAX]
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if cause is not None:
            waiting.append(cause)


def _places(traceback: TracebackType | None) -> list[str]:
    places = [
        f"{'/'.join(frame.f_code.co_filename.rsplit('/', 2)[-2:])}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(traceback)
    ]
    half = FRAMES_MAX // 2
    return places if len(places) <= FRAMES_MAX else [*places[:half], "...", *places[-half:]]


def message_of(record: logging.LogRecord) -> str:
    """A record's message, bounded, with exceptions described instead of quoted."""
    message = str(_safe(record.msg))
    if isinstance(record.args, Mapping):
        message %= {name: _safe(value) for name, value in record.args.items()}
    elif record.args:
        message %= tuple(_safe(value) for value in record.args)
    if record.name == "asyncio":
        message = _ASYNCIO_REPR.sub("", message)
    return _bounded(message, MESSAGE_MAX_CHARS)


def _safe(value: object) -> object:
    return describe_exception(value) if isinstance(value, BaseException) else value


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """What the caller passed as `extra`: plain values as they are, of everything else the type's name."""
    extra = [name for name in vars(record) if name not in _STANDARD_FIELDS]
    for name in extra[:FIELDS_MAX]:
        value = _safe(getattr(record, name))
        if isinstance(value, str):
            yield name, _bounded(value, FIELD_MAX_CHARS)
        else:
            yield name, value if isinstance(value, bool | int | float | None) else type(value).__name__


def _bounded(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[:max_chars]} [{len(text) - max_chars} characters more]"


def _trace(record: logging.LogRecord) -> list[tuple[str, list[str]]]:
    error = record.exc_info[1] if record.exc_info else None
    return [] if error is None else trace_exception(error)


class TextFormatter(logging.Formatter):
    """One line for a person: local time, level, logger, message, fields; exceptions on indented lines below it."""

    def __init__(self, *, with_time: bool = True) -> None:
        super().__init__()
        self._with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3] + " " if self._with_time else ""
        fields = "".join(f" {name}={value}" for name, value in _fields(record))
        lines = [f"{at}{record.levelname.lower():<7} {record.name:<15} {message_of(record)}{fields}"]
        lines += [f"    {what} at {', '.join(places) or 'an unknown place'}" for what, places in _trace(record)]
        # What a model server prints ends up here: it must not be able to forge lines or steer the terminal.
        return "\n".join(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line) for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the fields, and `exception` as a list."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        entry |= {name: value for name, value in _fields(record) if name not in entry}
        if trace := _trace(record):
            entry["exception"] = [{"what": what, "at": places} for what, places in trace]
        return json.dumps(entry)


class ContentFreeHandler(logging.StreamHandler[TextIO]):
    """Writes records to a stream. One that can't be written is reported by its place alone."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """See logging.Handler; the standard one prints the record's arguments."""
        error = sys.exception()
        if error is None or isinstance(error, BrokenPipeError):
            return
        sys.stderr.write(
            f"parley: a log record of {record.pathname}:{record.lineno} could not be written: "
            f"{describe_exception(error)}\n"
        )
