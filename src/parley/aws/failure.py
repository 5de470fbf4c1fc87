"""What went wrong between us and SageMaker, in Parley's terms: from HTTP answers, from exceptions in a stream, and from
connections that did not come about or broke off."""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from parley.core.errors import ERRORS, Fault, Retry

INVOKE_ACTION = "sagemaker:InvokeEndpointWithBidirectionalStream"

_MESSAGE_MAX_CHARS = 1_024
_CLOSE_CODE = re.compile(r"[1-4][0-9]{3}")

_BY_NAME = {
    "ExpiredTokenException": "expired-credentials",
    "ExpiredToken": "expired-credentials",
    "InvalidSignatureException": "invalid-signature",
    "SignatureDoesNotMatch": "invalid-signature",
    "UnrecognizedClientException": "unknown-credentials",
    "InvalidClientTokenId": "unknown-credentials",
    "MissingAuthenticationTokenException": "not-authenticated",
    "MissingAuthenticationToken": "not-authenticated",
    "IncompleteSignature": "not-authenticated",
    "ThrottlingException": "at-capacity",
    "TooManyRequestsException": "at-capacity",
    "ServiceUnavailableError": "at-capacity",
    "ModelError": "container-refused",
    "InputValidationError": "bad-request",
    "ValidationException": "bad-request",
}
_BY_STATUS = {400: "bad-request", 424: "container-refused", 429: "at-capacity", 503: "at-capacity"}


class AwsError(Exception):
    """A stream did not come about, or broke off.

    `code` is one of Parley's table, or `connect-failed`, `connect-refused`, `connection-lost`, `access-denied`,
    `sdk-missing`, `aws-misconfigured`. `message` is for a person; with `is_foreign_text` it quotes others and stays out
    of `str()`. `original_status` is the HTTP status of the container behind a refusal, `close_code` that of the
    container's WebSocket; 0 where there is none.
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
        original_status: int = 0,
        close_code: int = 0,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.fault = fault
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.is_foreign_text = is_foreign_text
        self.original_status = original_status
        self.close_code = close_code

    @property
    def is_about_credentials(self) -> bool:
        """Whether other credentials may help, such as those that were renewed meanwhile."""
        return self.code in ("expired-credentials", "unknown-credentials", "invalid-signature", "access-denied")

    def __str__(self) -> str:
        return f"{self.code} (fault: {self.fault})" if self.is_foreign_text else f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer instead of a stream, as AWS writes it."""

    status: int
    name: str = ""
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    retry_after_s: float | None = None

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], body: bytes) -> "Refusal":
        """From the answer's head (names in lower case) and the beginning of its body."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        fields = document if isinstance(document, dict) else {}
        # The header may go on with a colon and a URL, `__type` begins with a namespace and a hash.
        name = headers.get("x-amzn-errortype") or str(fields.get("__type", ""))
        return cls(status, name.partition(":")[0].rpartition("#")[2], fields, _seconds(headers.get("retry-after")))

    def text(self, *names: str) -> str:
        """The first of these fields that is there and text."""
        found = (self.fields.get(name) for name in names)
        return next((value for value in found if isinstance(value, str) and value), "")

    @property
    def error(self) -> AwsError:
        """The same as an error."""
        said = self.text("Message", "message")
        code = self.text("ErrorCode")
        if code in ERRORS:
            # Parley speaks: the words are its own.
            return self._error(code, said or ERRORS[code].summary, is_foreign_text=False)
        if self.name == "AccessDeniedException":
            message = f"The credentials do not allow {INVOKE_ACTION} on this endpoint; its owner can grant that in IAM."
            return AwsError("access-denied", message, fault=Fault.CLIENT, retry=Retry.NEVER)
        code = _BY_NAME.get(self.name) or _BY_STATUS.get(self.status, "")
        if code == "invalid-signature" and said.startswith(("Signature expired", "Signature not yet current")):
            code = "clock-skew"
        if code == "bad-request" and "not found" in said.lower():
            code = "endpoint-not-found"
        if code:
            return self._error(code, _words(code, self.name, said, self._original))
        fault, retry = (Fault.SERVER, Retry.NEW_SESSION) if self.status >= 500 else (Fault.CLIENT, Retry.NEVER)
        message = f"SageMaker answered with HTTP {self.status} {self.name}. {said}".rstrip()
        return AwsError("connect-refused", message[:_MESSAGE_MAX_CHARS], fault=fault, retry=retry, is_foreign_text=True)

    @property
    def _original(self) -> str:
        status, said = self._original_status, self.text("OriginalMessage")
        return " ".join(filter(None, (f"The container answered with HTTP {status}." if status else "", said)))

    @property
    def _original_status(self) -> int:
        status = self.fields.get("OriginalStatusCode")
        return status if isinstance(status, int) and 100 <= status < 1000 else 0

    def _error(self, code: str, message: str, *, is_foreign_text: bool = True) -> AwsError:
        spec = ERRORS[code]
        return AwsError(
            code,
            message[:_MESSAGE_MAX_CHARS],
            fault=spec.fault,
            retry=spec.retry,
            retry_after_s=self.retry_after_s,
            is_foreign_text=is_foreign_text,
            original_status=self._original_status,
        )


def connect_error(where: str, error: BaseException) -> AwsError:
    """A connection that was never made. `where` is the host and port."""
    name = str(getattr(error, "name", "") or error)
    if isinstance(error, TimeoutError):
        text = f"{where} did not answer in time. Check the region and the address, and that no firewall is between."
    elif isinstance(error, ssl.SSLError) or "TLS" in name:
        text = (
            f"{where} did not offer a certificate that this machine trusts. A certificate authority of your own goes "
            "into AWS_CA_BUNDLE or SSL_CERT_FILE."
        )
    elif "DNS" in name or "HOST" in name:
        text = f"{where} is not known to the name service. Check the region."
    elif "REFUSED" in name:
        text = f"Nothing listens at {where}. Check the address."
    elif "UNSUPPORTED_PROTOCOL" in name:
        text = f"{where} does not speak HTTP/2 over TLS. Check the address."
    else:
        text = f"{where} can't be reached ({type(error).__name__}). Check the address."
    return AwsError("connect-failed", text, fault=Fault.SERVER, retry=Retry.NEW_SESSION)


def misconfigured(message: str) -> AwsError:
    """Something about AWS that the person in front of this machine has to set."""
    return AwsError("aws-misconfigured", message, fault=Fault.CLIENT, retry=Retry.NEVER)


def lost(detail: str) -> AwsError:
    """A stream that broke off."""
    return AwsError("connection-lost", f"The stream ended: {detail}.", fault=Fault.SERVER, retry=Retry.NEW_SESSION)


def stream_error(kind: str, code: str, message: str) -> AwsError:
    """An exception in the stream: `kind` is its shape's name, `code` its ErrorCode, empty where there is none."""
    spec = ERRORS.get(code)
    if spec is not None:
        return AwsError(code, message or spec.summary, fault=spec.fault, retry=spec.retry, close_code=spec.ws_close)
    spec = ERRORS["container-closed"]
    text = f"SageMaker ended the stream with {kind}{f' ({code})' if code else ''}. {message}".rstrip()
    return AwsError(
        spec.code,
        text[:_MESSAGE_MAX_CHARS],
        fault=Fault.SERVER if kind == "InternalStreamFailure" else spec.fault,
        retry=spec.retry,
        is_foreign_text=True,
        # How it spells the code of a close frame is not public.
        close_code=int(code) if _CLOSE_CODE.fullmatch(code) else 0,
    )


def _words(code: str, name: str, said: str, original: str) -> str:
    return " ".join(filter(None, (ERRORS[code].summary, f"{name}:" if name and said else "", said, original)))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 7 else None
