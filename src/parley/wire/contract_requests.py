"""The session contract's requests as a client writes them, beside vLLM's own; their types, for both sides."""

from typing import Any

from parley.wire import vllm
from parley.wire.vllm import encode_json

SESSION_RESUME = "session.resume"
SESSION_ACK = "session.ack"
SESSION_END = "session.end"
CLEAR = "input_audio_buffer.clear"
CANCEL = "transcription.cancel"

END_SESSION = b'{"type":"session.end"}'
CLEAR_INPUT = b'{"type":"input_audio_buffer.clear"}'


def encode_opt_in(
    model: str,
    *,
    input_policy: str | None = None,
    output_policy: str | None = None,
    retention: str | None = None,
    consent: bool = False,
) -> bytes:
    """`session.update` that names the model, empty for any, and opts in to the session contract; the policies say what
    is to happen when more waits than may, `retention` what is kept of the session, with whoever speaks' `consent`."""
    chosen = {
        "input_policy": input_policy,
        "output_policy": output_policy,
        "retention": retention,
        "consent": consent or None,
    }
    own = {"resume": True, **{name: value for name, value in chosen.items() if value is not None}}
    return encode_json({"type": vllm.SESSION_UPDATE, "model": model, "parley": own})


def encode_resume(token: str, seq: int) -> bytes:
    """`session.resume`, the first message of a connection: the client has every event up to `seq`."""
    return encode_json({"type": SESSION_RESUME, "token": token, "seq": seq})


def encode_ack(seq: int) -> bytes:
    """`session.ack`: the client has every event up to `seq`."""
    return encode_json({"type": SESSION_ACK, "seq": seq})


def encode_cancel(item: int = 0) -> bytes:
    """`transcription.cancel` for the turn of this item; 0 for the oldest turn."""
    body: dict[str, Any] = {"type": CANCEL}
    if item:
        body["item_id"] = f"item_{item}"
    return encode_json(body)
