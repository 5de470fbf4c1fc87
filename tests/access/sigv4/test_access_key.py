import pytest

from parley.access.sigv4.access_key import AccessKey

SECRET = "a-secret-that-nobody-may-ever-see-in-a-log"
TOKEN = "a-token-that-nobody-may-ever-see-in-a-log"


@pytest.mark.parametrize("show", [repr, str, "{}".format])
def test_a_key_shows_neither_its_secrets_nor_whose_it_is(show: type[str]) -> None:
    assert show(AccessKey("AKIDEXAMPLE", SECRET, TOKEN, 1.0, "somebody", "somewhere")) == "AccessKey(temporary)"
    assert show(AccessKey("AKIDEXAMPLE", SECRET)) == "AccessKey(permanent)"


def test_a_permanent_key_never_expires() -> None:
    assert not AccessKey("AKIDEXAMPLE", SECRET).is_expired(1e12)


@pytest.mark.parametrize(("now_s", "is_expired"), [(99.9, False), (100.0, True), (1e12, True)])
def test_a_temporary_key_is_good_until_its_time(now_s: float, is_expired: bool) -> None:
    assert AccessKey("AKIDEXAMPLE", SECRET, TOKEN, expires_at_s=100.0).is_expired(now_s) is is_expired
