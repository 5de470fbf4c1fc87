import importlib.metadata
import logging
import subprocess
import sys

import pytest

from parley.aws import sdk
from parley.aws.failure import AwsError


def test_the_sdk_that_is_installed_is_of_the_right_series() -> None:
    sdk.check()


@pytest.mark.parametrize("version", ["0.4.0", "0.13.0", "0.120.0", "1.0"])
def test_another_series_is_refused_with_the_one_that_is_needed(version: str) -> None:
    with pytest.raises(AwsError, match=r"0\.12\.x is needed") as caught:
        sdk.check(lambda _: version)
    assert (caught.value.code, version in caught.value.message) == ("sdk-missing", True)


def test_a_missing_sdk_is_refused_with_what_to_install() -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    with pytest.raises(AwsError, match=r"pip install 'parley\[sagemaker\]'"):
        sdk.check(missing)


def test_a_missing_transport_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(AwsError, match="without its HTTP/2 transport"):
        sdk.check()


@pytest.mark.parametrize("module", ["parley.client", "parley.upstream.pool.pool", "parley.cli.transcribing"])
def test_nobody_else_needs_the_sdk(module: str) -> None:
    code = (
        f"import sys, {module}; sys.exit(any(name.startswith(('awscrt', 'aws_sdk', 'smithy')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


async def test_the_sdk_does_not_log_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("smithy_aws_event_stream")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    client = sdk.make_client()
    assert logger.level == logging.INFO
    await client.close()
