import pytest

from tests.support.crt import aws_environment as aws_environment
from tests.support.crt import crt as crt


@pytest.fixture(autouse=True)
def _ready(crt: object, aws_environment: object) -> None:
    """Every test here uses AWS's library, with AWS's variables of its own."""
