"""The one way in: which method is asked, and what the policy then lets a caller do."""

import pytest

from parley.access.action import Target
from parley.access.caller import NOBODY, Caller
from parley.access.gate import Gate
from parley.access.identity import Identity, RequestHead
from parley.access.policy import Policy, Rule
from parley.access.principal import principal_of
from parley.core.errors import ParleyError
from tests.support.audit import AuditNotes, Note

SOMEBODY = Caller("1" * 64, "key:somebody", "acme")


class Kind:
    """A method that knows everybody who brings its header."""

    def __init__(self, header: str, caller: Caller = SOMEBODY, *, is_beside_others: bool = False) -> None:
        self.name = f"{header}s"
        self.is_beside_others = is_beside_others
        self._header = header
        self._caller = caller

    def recognises(self, request: RequestHead) -> bool:
        return bool(request.values(self._header))

    def authenticate(self, request: RequestHead) -> Identity:
        if request.values(self._header) == ["bad"]:
            raise ParleyError("invalid-token")
        return Identity(self._caller)


def head(**headers: str) -> RequestHead:
    return RequestHead("GET", "/", tuple(headers.items()))


def refusal(gate: Gate, request: RequestHead) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        gate.identify(request)
    return caught.value


class TestAnOpenGate:
    def test_lets_nobody_in_particular_in(self) -> None:
        assert Gate().identify(head()) == Identity(NOBODY)

    def test_believes_whoever_a_header_says_that_it_is(self) -> None:
        assert Gate().identify(head(authorization="Bearer one")).caller.principal == principal_of("Bearer one")

    def test_says_that_it_is_open(self) -> None:
        assert Gate().is_open
        assert not Gate([Kind("key")]).is_open


class TestAGateWithMethods:
    def test_asks_the_one_that_knows_the_credential(self) -> None:
        gate = Gate([Kind("key", Caller("k")), Kind("ticket", Caller("t"))])
        assert gate.identify(head(ticket="x")).caller.principal == "t"

    def test_refuses_whoever_brings_none_and_says_what_is_taken(self) -> None:
        error = refusal(Gate([Kind("key"), Kind("ticket")]), head())
        assert (error.code, error.detail) == ("credentials-missing", "Taken here: keys, tickets.")

    def test_refuses_a_credential_of_a_kind_that_is_not_taken(self) -> None:
        assert refusal(Gate([Kind("key")]), head(authorization="Basic x")).code == "invalid-token"

    def test_refuses_two_credentials_at_once(self) -> None:
        assert refusal(Gate([Kind("key"), Kind("ticket")]), head(key="x", ticket="y")).code == "bad-request"

    def test_takes_a_certificate_beside_a_credential_that_then_says_who_it_is(self) -> None:
        gate = Gate([Kind("certificate", Caller("c"), is_beside_others=True), Kind("key", Caller("k"))])
        assert gate.identify(head(certificate="x", key="y")).caller.principal == "k"
        assert gate.identify(head(certificate="x")).caller.principal == "c"

    def test_notes_whom_it_refuses(self) -> None:
        notes = AuditNotes()
        refusal(Gate([Kind("key")], audit=notes), head(key="bad"))
        assert notes.notes == [Note("authenticate", "", "", "", "invalid-token")]


class TestATenant:
    def test_is_the_one_that_the_credential_names(self) -> None:
        gate = Gate([Kind("key")], tenant_of=lambda _: "other")
        assert gate.identify(head(key="x")).caller.tenant == "acme"

    def test_is_otherwise_the_one_that_the_settings_name(self) -> None:
        gate = Gate([Kind("key", Caller("k"))], tenant_of=lambda _: "other")
        assert gate.identify(head(key="x")).caller.tenant == "other"


class TestWhatACallerMayDo:
    def test_is_what_the_policy_allows(self) -> None:
        Gate().allow(SOMEBODY, "start", Target("acme"))

    def test_is_nothing_else_and_a_refusal_is_noted(self) -> None:
        notes = AuditNotes()
        gate = Gate(policy=Policy([Rule(name="none", who=("*",), actions=())]), audit=notes)
        with pytest.raises(ParleyError, match="forbidden"):
            gate.allow(SOMEBODY, "start", Target("acme"))
        assert notes.notes == [Note("start", "key:somebody", "", "acme", "forbidden")]

    def test_can_be_asked_without_a_note(self) -> None:
        notes = AuditNotes()
        gate = Gate(audit=notes)
        assert not gate.may(SOMEBODY, "observe", Target("acme"))
        assert not notes.notes


@pytest.mark.parametrize(
    ("headers", "is_told"),
    [({}, False), ({"token": "x"}, True), ({"certificate": "x"}, False), ({"authorization": "Other x"}, True)],
)
def test_a_request_says_who_sends_it_if_it_brings_anything_beside_its_connection(
    headers: dict[str, str], is_told: bool
) -> None:
    gate = Gate([Kind("token"), Kind("certificate", is_beside_others=True)])
    assert gate.is_told(head(**headers)) is is_told


def test_where_nobody_is_asked_only_an_authorization_says_it() -> None:
    assert [Gate().is_told(head(**headers)) for headers in ({}, {"authorization": "Bearer x"})] == [False, True]
