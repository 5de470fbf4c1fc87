"""The log as tests see it: every record, what it would print, and whether there is something in it that may not."""

import logging
import traceback
from types import TracebackType
from typing import Self

from parley.observe.log import QUIET_LOGGERS
from tests.support.waiting import Changes

_LIBRARIES = (*QUIET_LOGGERS, "websockets")


class LogWatch(logging.Handler):
    """Keeps every record from DEBUG on; of the libraries, as in production, only warnings unless told otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._expected_from: tuple[str, ...] = ()
        self._levels: dict[str, int] = {}

    def expect_errors(self, *loggers: str) -> None:
        """The test provokes a failure that these loggers, or those below them, have to report."""
        self._expected_from = loggers

    def include_libraries(self) -> None:
        """Keep what the libraries say at DEBUG as well."""
        for name in _LIBRARIES:
            logging.getLogger(name).setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def everything(self) -> str:
        """All that any formatter could make of the records, tracebacks and exceptions' texts included."""
        parts = []
        for record in self.records:
            parts += [record.getMessage(), repr(record.args), repr(vars(record))]
            if record.exc_info and record.exc_info[1] is not None:
                parts += traceback.format_exception(record.exc_info[1])
        return "\n".join(parts)

    def check(self) -> None:
        """Fails when there is an error or a traceback that nobody expected."""
        bad = [
            record
            for record in self.records
            if (record.levelno >= logging.ERROR or record.exc_info) and not record.name.startswith(self._expected_from)
        ]
        assert not bad, [
            f"{record.levelname} {record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}"
            for record in bad
        ]

    def __enter__(self) -> Self:
        root = logging.getLogger()
        root.addHandler(self)
        self._levels = {name: logging.getLogger(name).level for name in ("", *_LIBRARIES)}
        root.setLevel(logging.DEBUG)
        for name in _LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)


class LogChanges(logging.Handler):
    """Waits for what a logger says."""

    def __init__(self, logger: str) -> None:
        super().__init__()
        self._logger = logging.getLogger(logger)
        self._said: list[str] = []
        self._changes = Changes()

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
        self._changes.notify()

    async def until(self, text: str) -> None:
        """Wait until a message that holds this text was written."""
        await self._changes.until(f"the log says {text}", lambda: any(text in said for said in self._said))

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
