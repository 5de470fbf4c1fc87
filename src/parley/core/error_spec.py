"""What is known of an error: whose fault it is, whether retrying helps, and what each wire says of it."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Whose side the cause lies on."""

    CLIENT = "client"
    SERVER = "server"
    UPSTREAM = "upstream"


class Retry(StrEnum):
    """What may help: nothing, the same session again, or a new session."""

    NEVER = "never"
    SAME_SESSION = "same-session"
    NEW_SESSION = "new-session"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One row of the table.

    `summary` says what happened, `fix` what to do. `ws_close` is the WebSocket close code used when the error ends
    the connection (RFC 6455 section 7.4, IANA registry). `h2_error` names an RFC 9113 section 7 code. `aws_exception`
    is the shape of SageMaker's runtime model; `vllm_code` is the `code` a vLLM client already knows.
    """

    code: str
    fault: Fault
    retry: Retry
    http_status: int
    ws_close: int
    h2_error: str
    aws_exception: str
    openai_type: str
    vllm_code: str
    summary: str
    fix: str
