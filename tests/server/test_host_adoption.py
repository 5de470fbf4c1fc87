"""A session that another node left: gone on with where it holds, refused where it does not, whatever Python's flags."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from parley.access.caller import Caller
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.profile import profile_of
from parley.core.snapshot import OutputKind, OutputState, RecoveryState, SessionState, StoredSession, TurnState

from .test_host import node

pytestmark = pytest.mark.usefixtures("log")

OWNER = Caller("owner")
STATE = SessionState(inputs=3, cursor=16_000, acknowledged=2)
BROKEN = replace(STATE, turns=(TurnState(1, 16_000, started=True, replay_point=1),), items=1)
"""Audio that no model was sent is to be replayed."""
RUN_MAX_S = 60.0


def stored(state: SessionState, model: str = "first") -> StoredSession:
    frame_samples = profile_of(model).frame_samples
    return StoredSession(
        session_id="sess-1",
        created_s=1,
        principal=OWNER.principal,
        model=model,
        frame_samples=frame_samples,
        expires_s=2e9,
        state=state,
    )


async def refusal(state: SessionState) -> ParleyError | None:
    """Why a node does not go on with a session; None when it does."""
    async with node() as one:
        try:
            one.host.adopt(stored(state), OWNER).receive(ev.EndAsked())
        except ParleyError as error:
            return error
    return None


async def test_a_session_that_another_node_left_has_its_name_and_a_place() -> None:
    async with node() as one:
        runner = one.host.adopt(stored(STATE), OWNER)
        assert (runner.name.session_id, one.desk.view.live) == ("sess-1", 1)


@pytest.mark.parametrize(
    "state",
    [
        BROKEN,
        replace(STATE, acknowledged=-1),
        replace(STATE, sent=(OutputState(OutputKind.CLEARED, 5),)),
        replace(STATE, waiting=(OutputState(OutputKind.RECOVERING, code="unheard-of"),)),
        replace(STATE, recovery=RecoveryState(0, "moved")),
        replace(STATE, input_policy="unheard-of"),
    ],
    ids=["a replay", "a number", "a gap", "an output", "a loss", "a policy"],
)
async def test_a_state_that_does_not_hold_is_refused_and_takes_no_place(state: SessionState) -> None:
    async with node() as one:
        with pytest.raises(ParleyError) as caught:
            one.host.adopt(stored(state), OWNER)
        assert (caught.value.code, one.desk.view.live) == ("state-unreadable", 0)


async def test_a_refusal_says_what_does_not_hold() -> None:
    error = await refusal(BROKEN)
    assert error is not None
    assert error.detail == "No session can go on from it: it does not hold that what is replayed was sent."


async def test_a_session_whose_text_has_another_clock_is_not_gone_on_with() -> None:
    async with node() as one:
        with pytest.raises(ParleyError, match="upstream-unavailable"):
            one.host.adopt(replace(stored(STATE), frame_samples=1), OWNER)


def told() -> str:
    """What becomes of a state that holds and of one that does not, in codes."""
    codes = [error.code if error else "" for error in (asyncio.run(refusal(state)) for state in (STATE, BROKEN))]
    return ",".join(codes)


def test_a_state_that_does_not_hold_is_refused_also_where_assertions_are_switched_off() -> None:
    program = "assert False; from tests.server.test_host_adoption import told; print(told())"
    done = subprocess.run(
        [sys.executable, "-O", "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=RUN_MAX_S,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == [",state-unreadable"], done.stderr
