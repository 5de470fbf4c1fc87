"""AWS's own signers for Python, as clients of plain HTTP and of WebSockets use them."""

import time
from collections.abc import Mapping

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from parley.access.identity import RequestHead
from tests.support.signing import AUTHORITY, CREDENTIALS, Credentials, stamp

WITHOUT_SIGNATURE = {"user-agent", "transfer-encoding", "expect", "content-length"}


def _request(
    signer: SigV4Auth, method: str, url: str, headers: Mapping[str, str], body: bytes, time_s: float
) -> AWSRequest:
    """What `add_auth` does, at a time of one's own."""
    request = AWSRequest(method, url, dict(headers), body)
    request.context["timestamp"] = stamp(time_s)
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return request


def _boto(credentials: Credentials) -> BotoCredentials:
    return BotoCredentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token or None)


def signed_headers(
    target: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    authority: str = AUTHORITY,
    credentials: Credentials = CREDENTIALS,
    service: str = "sagemaker",
    region: str = "us-east-1",
    time_s: float | None = None,
) -> dict[str, str]:
    """The headers to send, the authority's not among them."""
    signer = SigV4Auth(_boto(credentials), service, region)
    when = time.time() if time_s is None else time_s
    request = _request(signer, method, f"https://{authority}{target}", headers or {}, body, when)
    return dict(request.headers.items())


def presigned_target(
    target: str,
    *,
    expires_s: int = 60,
    authority: str = AUTHORITY,
    credentials: Credentials = CREDENTIALS,
    service: str = "sagemaker",
    region: str = "us-east-1",
    time_s: float | None = None,
) -> str:
    """The target with a signature in its query."""
    signer = SigV4QueryAuth(_boto(credentials), service, region, expires=expires_s)
    when = time.time() if time_s is None else time_s
    url = _request(signer, "GET", f"https://{authority}{target}", {}, b"", when).url
    return str(url).removeprefix(f"https://{authority}")


def head_of(method: str, target: str, headers: Mapping[str, str], *, authority: str = AUTHORITY) -> RequestHead:
    """The request as a listener of HTTP/1.1 hands it on."""
    fields = tuple((name.lower(), value) for name, value in headers.items())
    return RequestHead(method, target, (("host", authority), *fields))
