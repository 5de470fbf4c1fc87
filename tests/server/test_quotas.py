"""What each tenant may have in a time, on a node."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.server.quotas import MeteredSession, Quotas
from parley.server.settings.tenant import TenantSettings
from tests.support.logs import LogWatch

NOON_S = 1_795_348_800.0


@dataclass
class Survey:
    received_s: float = 0.0


@dataclass(eq=False)
class Session:
    """A session that says what it has received."""

    heard: Survey = field(default_factory=Survey)
    told: list[ev.Event] = field(default_factory=list)

    def survey(self) -> Survey:
        return self.heard

    def receive(self, event: ev.Event) -> None:
        self.told.append(event)


class Scene:
    def __init__(self) -> None:
        tenants = [TenantSettings(name="acme", audio_minutes_per_day=1, connects_per_minute=2)]
        self.now_s, self.unix_s = 0.0, NOON_S
        self.quotas = Quotas(tenants, clock=lambda: self.now_s, unix_time=lambda: self.unix_s)

    def count(self, *sessions: Session, tenant: str = "acme") -> None:
        self.quotas.count({cast(MeteredSession, session): tenant for session in sessions})


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_connections_over_the_quota_are_told_when_to_come_back(scene: Scene) -> None:
    scene.quotas.connect("acme")
    scene.quotas.connect("acme")
    with pytest.raises(ParleyError) as caught:
        scene.quotas.connect("acme")
    assert caught.value.code == "quota-exceeded"
    assert caught.value.retry_after_s == pytest.approx(30.0)


def test_a_tenant_of_no_entry_has_no_quota(scene: Scene) -> None:
    for _ in range(100):
        scene.quotas.connect("other")
    scene.count(session := Session(Survey(1e6)), tenant="other")
    scene.quotas.check("other")
    assert not session.told


def test_audio_of_all_sessions_of_a_tenant_adds_up_and_at_the_bound_all_end(scene: Scene, log: LogWatch) -> None:
    one, two = Session(), Session()
    for second in range(1, 30):
        one.heard.received_s = two.heard.received_s = float(second)
        scene.count(one, two)
    assert not one.told
    one.heard.received_s = two.heard.received_s = 30.0
    scene.count(one, two)
    (event,) = one.told
    assert isinstance(event, ev.EndAsked)
    assert (event.code, event.retry_after_s) == ("quota-exceeded", 43_200.0)
    assert two.told == one.told
    assert "acme has used up" in log.everything


def test_a_session_that_has_ended_is_still_counted(scene: Scene) -> None:
    scene.count(Session(Survey(40.0)))
    scene.count()
    scene.count(later := Session(Survey(20.0)))
    assert later.told


def test_no_session_begins_when_the_day_is_used_up_and_one_does_the_next_day(scene: Scene) -> None:
    scene.count(Session(Survey(60.0)))
    with pytest.raises(ParleyError) as caught:
        scene.quotas.check("acme")
    assert caught.value.detail == "It is 1 minutes of audio in a day."
    scene.unix_s += 43_200.0
    scene.quotas.check("acme")


async def test_where_nobody_has_a_quota_of_audio_nothing_is_counted() -> None:
    await Quotas([TenantSettings(name="acme", connects_per_minute=2)]).run(dict)
