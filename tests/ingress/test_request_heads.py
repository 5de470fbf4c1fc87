"""Client certificates as the gate is told of them."""

import asyncio
from typing import Any

import pytest

from parley.access.identity import CertificateNames
from parley.ingress.request_heads import certificate_names

ENDS = {"notAfter": "Jan  1 00:00:10 1970 GMT"}


def names(certificate: Any) -> CertificateNames | None:
    return certificate_names(asyncio.BaseTransport({"peercert": certificate}))


@pytest.mark.parametrize("certificate", [None, {}], ids=["none", "one that was not verified"])
def test_there_is_no_certificate(certificate: Any) -> None:
    assert names(certificate) is None
    assert certificate_names(asyncio.BaseTransport()) is None


def test_names_are_told_apart_by_their_kind() -> None:
    found = names(
        {
            "subject": ((("organizationName", "Example"),), (("commonName", "captions"),)),
            "subjectAltName": (
                ("DNS", "a.example"),
                ("URI", "spiffe://example/captions"),
                ("email", "nobody@example"),
                ("DirName", ((("commonName", "other"),),)),
                ("DNS", "b.example"),
            ),
            **ENDS,
        }
    )
    assert found == CertificateNames(("spiffe://example/captions",), ("a.example", "b.example"), "captions", 10.0)


@pytest.mark.parametrize(
    "subject",
    [(), ((("commonName", "a"),), (("commonName", "b"),)), ((("commonName", "a"), ("commonName", "b")),)],
    ids=["none", "two", "two in one part"],
)
def test_a_common_name_is_one_or_none(subject: Any) -> None:
    assert names({"subject": subject, **ENDS}) == CertificateNames(expires_at_s=10.0)
