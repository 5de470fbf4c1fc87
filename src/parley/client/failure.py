"""Why a session, or the source of its audio, failed: data for a program, words for a person."""

from parley.core.errors import ERRORS, Fault, ParleyError, Retry
from parley.wire import contract


class SessionFailed(Exception):  # noqa: N818 (it is also an event of the session)
    """A session did not do what was asked.

    `code` is one of Parley's where the server is Parley, the model server's own otherwise (`model_not_found`), or one
    of the client's: `connect-failed`, `connect-refused`, `connection-lost`. `message` is for the person in front of
    the screen. Where it is a model server's own text it may quote what was said, and stays out of `str()`, which ends
    up in logs.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        fault: Fault,
        retry: Retry,
        retry_after_s: float | None = None,
        is_foreign_text: bool = False,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.fault = fault
        self.retry = retry
        self.retry_after_s = retry_after_s
        self._is_foreign_text = is_foreign_text

    @classmethod
    def of(cls, error: ParleyError) -> "SessionFailed":
        """The same error as a failure."""
        spec = error.spec
        return cls(spec.code, error.message, fault=spec.fault, retry=spec.retry, retry_after_s=error.retry_after_s)

    @property
    def ends_session(self) -> bool:
        """Whether nothing more comes from this session: only a refused message leaves it as it was."""
        return self.retry is not Retry.SAME_SESSION

    def __str__(self) -> str:
        return f"{self.code} (fault: {self.fault})" if self._is_foreign_text else f"{self.code}: {self.message}"


class SourceError(Exception):
    """Audio could not be had: the file, the converter or the microphone. `str()` names what to do, never content."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def vllm_failure(code: str | None, message: str) -> SessionFailed:
    """The failure that an `error` event of stock vLLM reports; a code of None is a failure of the model server."""
    spec = next((row for row in ERRORS.values() if row.vllm_code == code), ERRORS["upstream-error"])
    if spec.fault is not Fault.CLIENT:
        spec = ERRORS["upstream-error"]
    words = message or spec.summary
    return SessionFailed(code or spec.code, words, fault=spec.fault, retry=spec.retry, is_foreign_text=True)


def reported_failure(event: contract.Failed) -> SessionFailed:
    """The failure that an `error` event names: Parley's own data where it is there, vLLM's code otherwise."""
    if event.parley_code is None:
        return vllm_failure(event.code, event.message)
    try:
        fault, retry = Fault(event.fault or ""), Retry(event.retry or "")
    except ValueError:
        return vllm_failure(event.code, event.message)
    return SessionFailed(event.parley_code, event.message, fault=fault, retry=retry, retry_after_s=event.retry_after_s)
