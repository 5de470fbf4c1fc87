"""Certificates for credentials: which name counts, and which is none."""

import pytest

from parley.access.certificate import CertificateMethod
from parley.access.identity import CertificateNames, RequestHead
from parley.access.principal import principal_of_key
from parley.core.errors import ParleyError

NOW_S = 1_000.0
METHOD = CertificateMethod(clock=lambda: NOW_S)


def head(certificate: CertificateNames | None) -> RequestHead:
    return RequestHead("GET", "/v1/realtime", (), certificate)


def refusal(certificate: CertificateNames | None) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        METHOD.authenticate(head(certificate))
    return caught.value


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        (CertificateNames(("spiffe://a/b", "spiffe://c"), ("d.example",), "E"), "spiffe://a/b"),
        (CertificateNames((), ("d.example", "f.example"), "E"), "d.example"),
        (CertificateNames((), (), "E"), "E"),
        (CertificateNames(("",), ("",), "E"), "E"),
    ],
    ids=["a URI before all others", "a DNS name before the common name", "a common name", "what is empty is none"],
)
def test_a_caller_is_called_by_the_first_name(certificate: CertificateNames, name: str) -> None:
    caller = METHOD.authenticate(head(certificate)).caller
    assert (caller.name, caller.method) == (f"certificate:{name}", "certificate")
    assert caller.principal == principal_of_key(f"certificate:{name}")


def test_a_certificate_without_a_name_is_nobodys() -> None:
    assert refusal(CertificateNames()).code == "invalid-token"


def test_a_certificate_that_has_ended_since_is_not_taken() -> None:
    assert refusal(CertificateNames(common_name="a", expires_at_s=NOW_S)).code == "invalid-token"


def test_a_caller_is_good_for_as_long_as_its_certificate() -> None:
    certificate = CertificateNames(common_name="a", expires_at_s=NOW_S + 1.0)
    assert METHOD.authenticate(head(certificate)).caller.expires_at_s == NOW_S + 1.0


def test_only_a_certificate_is_recognised() -> None:
    assert [METHOD.recognises(head(one)) for one in (None, CertificateNames())] == [False, True]
    assert refusal(None).code == "credentials-missing"


def test_it_may_come_beside_other_credentials() -> None:
    assert METHOD.is_beside_others
