"""The session contract: who is not let back in, and who wins."""

from collections.abc import Awaitable, Callable

import pytest

from parley.core.errors import ERRORS
from tests.contract.marks import requirement
from tests.contract.participant import Participant
from tests.contract.stage import Stage, text_of
from tests.contract.wires import Ending
from tests.support.sound import pcm
from tests.support.waiting import bounded

AUDIO = pcm(2.0)
TEXT = text_of(2.0)
WHO = "Bearer zzgeheimnis"


async def unknown(stage: Stage, _client: Participant) -> Ending:
    return await stage.claim("A" * 43, credentials=WHO)


async def gap(stage: Stage, client: Participant) -> Ending:
    return await stage.claim(client.token, client.seq + 1_000, credentials=WHO)


async def wrong_principal(stage: Stage, client: Participant) -> Ending:
    return await stage.claim(client.token, client.seq, credentials="Bearer another")


@requirement("refusal-typed")
@pytest.mark.parametrize(
    ("ask", "code"), [(unknown, "unknown-session"), (gap, "gap"), (wrong_principal, "wrong-principal")]
)
@pytest.mark.parametrize("is_there", [True, False])
async def test_a_refusal_is_an_error_with_a_close_code_of_its_own_and_touches_no_session(
    stage: Stage, ask: Callable[[Stage, Participant], Awaitable[Ending]], code: str, *, is_there: bool
) -> None:
    client = await stage.opted_in(credentials=WHO)
    await client.start()
    await client.say(AUDIO[:48_000])
    await client.settled()
    if not is_there:
        client.wire.abort()
    ending = await ask(stage, client)
    assert (ending.kinds, ending.error_code, ending.code) == (["error"], code, ERRORS[code].ws_close)
    assert 4_400 <= ending.code < 4_500
    if not is_there:
        await stage.bring_back(client, credentials=WHO)
    await client.say(AUDIO[48_000:])
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    assert (await stage.leg()).turns == [AUDIO]


@requirement("refusal-typed")
def test_no_two_refusals_share_a_close_code() -> None:
    codes = ["unknown-session", "expired", "gap", "wrong-principal", "superseded"]
    assert len({ERRORS[code].ws_close for code in codes}) == len(codes)


@requirement("refusal-unknown")
@pytest.mark.parametrize("token", ["", "A" * 43, "x" * 256])
async def test_a_token_that_no_session_has_or_had_is_unknown(stage: Stage, token: str) -> None:
    await stage.opted_in()
    assert (await stage.claim(token)).error_code == "unknown-session"


@requirement("refusal-expired")
async def test_a_session_that_has_ended_is_expired_for_a_window_and_then_unknown(stage: Stage) -> None:
    await stage.serve(session={"resume_window_s": 1.0})
    client = await stage.opted_in()
    await client.send("session.end")
    await client.until_closed()
    codes = [(await stage.claim(client.token)).error_code]

    async def until_forgotten() -> None:
        while codes[-1] == "expired":
            codes.append((await stage.claim(client.token)).error_code)

    await bounded("the session is forgotten", until_forgotten())
    assert (codes[0], codes[-1]) == ("expired", "unknown-session")


@requirement("refusal-gap")
async def test_a_number_that_was_never_sent_is_a_gap(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    assert (await stage.claim(client.token, client.seq + 1)).error_code == "gap"
    await stage.bring_back(client)


@requirement("refusal-gap")
async def test_events_that_are_no_longer_kept_are_a_gap(stage: Stage) -> None:
    await stage.serve(session={"ledger_max_bytes": 2_048})
    client = await stage.opted_in()
    await client.turn(pcm(10.0))
    await client.until("transcription.done")
    assert (await stage.claim(client.token, 1)).error_code == "gap"
    await stage.bring_back(client)


@requirement("refusal-principal")
@pytest.mark.parametrize("other", ["", "Bearer another"])
async def test_a_session_is_for_those_credentials_alone_that_began_it(stage: Stage, other: str) -> None:
    client = await stage.opted_in(credentials=WHO)
    client.wire.abort()
    assert (await stage.claim(client.token, credentials=other)).error_code == "wrong-principal"
    await stage.bring_back(client, credentials=WHO)


@requirement("refusal-principal")
async def test_a_session_that_was_begun_without_credentials_is_for_nobody_who_has_some(stage: Stage) -> None:
    client = await stage.opted_in()
    client.wire.abort()
    assert (await stage.claim(client.token, credentials=WHO)).error_code == "wrong-principal"


@requirement("resume-first")
@pytest.mark.parametrize("is_resumed", [True, False])
async def test_resuming_is_the_first_thing_on_a_connection_or_invalid(stage: Stage, *, is_resumed: bool) -> None:
    client = await stage.opted_in()
    if is_resumed:
        client.wire.abort()
        await stage.bring_back(client)
    await client.wire.send("session.resume", token=client.token, seq=0)
    assert (await client.expect("error"))["parley"]["code"] == "invalid-event"
    await client.turn(AUDIO)
    done = await client.wire.receive()
    while done["type"] != "transcription.done":
        done = await client.wire.receive()
    assert done["text"] == TEXT


# ---- two connections


@requirement("newest-wins", "superseded")
async def test_the_newest_connection_has_the_session_and_the_older_one_is_told(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.start()
    await client.say(AUDIO)
    await client.settled()
    for _ in range(3):
        older = client.wire
        await stage.bring_back(client)
        ending = await older.until_closed()
        assert (ending.error_code, ending.code, ending.reason) == ("superseded", 4409, "superseded")
    await client.finish()
    await client.until("transcription.done", text=TEXT)


@requirement("superseded")
async def test_what_the_older_connection_still_sends_has_no_effect(stage: Stage) -> None:
    client = await stage.opted_in()
    older = client.wire
    await client.start()
    await client.say(AUDIO[:48_000])
    await client.settled()
    before = (await stage.bring_back(client))["input_seq"]
    # Sent by one who has not read yet that it is no longer wanted.
    await older.send("input_audio_buffer.append", audio="AAAA")
    await older.send("input_audio_buffer.commit", final=True)
    await older.send("session.end")
    await older.until_closed()
    await client.say(AUDIO[48_000:])
    await client.finish()
    await client.until("transcription.done", text=TEXT)
    await client.until_acked()
    assert client.input_seq == before + 6
    assert (await stage.leg()).turns == [AUDIO]
