"""The one exception class, on purpose: what a caller decides on is data (`fault`, `retry`), not a type.

```
ParleyError          code, fault, retry, retry_after_s, message; its spec holds the wires' numbers
```
"""

from parley.core.error_spec import ErrorSpec as ErrorSpec
from parley.core.error_spec import Fault as Fault
from parley.core.error_spec import Retry as Retry
from parley.core.error_table import ERRORS as ERRORS


class ParleyError(Exception):
    """An error with a code of the table. `detail` adds the case's particulars and never holds content.

    `original_status` is the HTTP status that a container answered with, where that was the cause; 0 elsewhere.
    """

    def __init__(
        self, code: str, detail: str = "", *, retry_after_s: float | None = None, original_status: int = 0
    ) -> None:
        super().__init__(code, detail)
        self.spec = ERRORS[code]
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.original_status = original_status

    @property
    def code(self) -> str:
        """The stable, kebab-case code."""
        return self.spec.code

    @property
    def message(self) -> str:
        """What happened, the particulars, and what to do: one paragraph for a person."""
        parts = (self.spec.summary, self.detail, self.spec.fix)
        return " ".join(part for part in parts if part)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
