"""AWS's SDK, which is an extra: loaded when somebody wants it, and said so when it is not there."""

import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from parley.aws.failure import AwsError
from parley.core.errors import Fault, Retry

if TYPE_CHECKING:
    from parley.aws.client import AwsClient
    from parley.aws.options import AwsOptions

PACKAGE = "aws-sdk-sagemaker-runtime-http2"
SERIES = "0.12"
"""The releases that are known to work: the package is experimental, and each series renames things."""

_INSTALL = "pip install 'parley[sagemaker]'"
_TALKATIVE = ("smithy_core", "smithy_http", "smithy_aws_core", "smithy_aws_event_stream", PACKAGE.replace("-", "_"))


def check(version_of: Callable[[str], str] = importlib.metadata.version) -> None:
    """Whether the SDK can be used.

    Raises:
        AwsError: sdk-missing, when it or its transport is not installed, or is of another series.
    """
    try:
        version = version_of(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise _missing(f"AWS's SDK is not installed; run: {_INSTALL}") from None
    if version != SERIES and not version.startswith(f"{SERIES}."):
        raise _missing(f"{PACKAGE} is installed as {version}, and {SERIES}.x is needed; run: {_INSTALL}")
    if importlib.util.find_spec("awscrt") is None:
        raise _missing(f"AWS's SDK is installed without its HTTP/2 transport; run: {_INSTALL}")


def make_client(options: "AwsOptions | None" = None) -> "AwsClient":
    """A client of SageMaker's endpoints.

    Raises:
        AwsError: sdk-missing.
    """
    check()
    for name in _TALKATIVE:
        # At DEBUG they write every payload, which is what was said. Who wants that has to ask each of them for it.
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    from parley.aws.client import AwsClient

    return AwsClient(options)


def _missing(message: str) -> AwsError:
    return AwsError("sdk-missing", message, fault=Fault.CLIENT, retry=Retry.NEVER)
