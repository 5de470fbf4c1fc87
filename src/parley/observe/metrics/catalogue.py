"""Every metric of a node, what it is, and what it means when it moves: docs/metrics.md is made of this."""

from collections.abc import Mapping

from parley.observe.metrics.metric import FAST_S, LONG_S, OPENING_S, SIZES, SPEECH_S, Metric

_OUTCOME = "resumed (nothing lost), rehydrated (decoded again on another leg) or restarted (something lost)"
_OUTCOMES = ("resumed", "rehydrated", "restarted")
_POOL = "the pool's name: `own`, or endpoint/variant"
_CODE = "the error's code, as docs/errors.md lists it"

SESSIONS: tuple[Metric, ...] = (
    Metric(
        name="parley_sessions_started",
        kind="counter",
        help="Sessions that began on this node, or came to it from another.",
        means="The traffic. A fall while clients are there: they can't get in, see parley_sessions_refused_total.",
        labels={"pool": _POOL, "transport": "websocket, http2, http, or empty for one that came from another node"},
    ),
    Metric(
        name="parley_sessions_ended",
        kind="counter",
        help="Sessions that ended here, by why.",
        means="Outcomes whose fault is server or upstream are failures that clients saw.",
        labels={
            "outcome": f"client-ended, client-closed, moved, abandoned (begun in vain), or {_CODE}",
            "fault": "client, server, upstream, or empty for an end that is none's fault",
        },
    ),
    Metric(
        name="parley_sessions_refused",
        kind="counter",
        help="Sessions that were not begun, by why.",
        means="at-capacity and too-many-sessions: add nodes or model servers. Others are clients that may not.",
        labels={"code": _CODE},
    ),
    Metric(
        name="parley_session_duration_seconds",
        kind="histogram",
        help="How long sessions lived on this node.",
        means="A shift to short ones is clients that give up, or that are cut off.",
        bounds=LONG_S,
    ),
    Metric(
        name="parley_queue_wait_seconds",
        kind="histogram",
        help="How long sessions waited for a stream on a model server.",
        means="Rises before anybody is refused: capacity is short.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_first_audio_seconds",
        kind="histogram",
        help="From a session's beginning to its first audio.",
        means="Clients that connect early, or whose microphone takes long. Not the server's time.",
        bounds=SPEECH_S,
    ),
)

TURNS: tuple[Metric, ...] = (
    Metric(
        name="parley_turns",
        kind="counter",
        help="Turns that are over, by how.",
        means="A share of failed ones is text that clients miss.",
        labels={"outcome": "final, failed, or dropped by its client"},
        words={"outcome": ("final", "failed", "dropped")},
    ),
    Metric(
        name="parley_turn_first_text_seconds",
        kind="histogram",
        help="From a turn's first audio to its first text.",
        means="What people feel as slow captions; it includes the silence before they speak.",
        bounds=SPEECH_S,
        otlp="gen_ai.server.time_to_first_token",
        # Both are required there. Neither list of values has a gateway for speech, and both may be added to.
        otlp_attributes={"gen_ai.operation.name": "transcription", "gen_ai.provider.name": "parley"},
    ),
    Metric(
        name="parley_turn_final_seconds",
        kind="histogram",
        help="From the end of a turn's audio to its final text, but for clients that were away.",
        means="What voice agents wait for. With parley_model_delay_seconds it is the model, without it the gateway.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_audio_received_seconds",
        kind="counter",
        help="Audio that came from clients.",
        means="Its rate is how many people speak at a time.",
    ),
)

CONTINUITY: tuple[Metric, ...] = (
    Metric(
        name="parley_reconnects",
        kind="counter",
        help="Clients that came back to their session, by what came of it.",
        means="Many: networks or balancers cut connections. restarted: words were lost.",
        labels={"outcome": _OUTCOME},
        words={"outcome": _OUTCOMES},
    ),
    Metric(
        name="parley_away_seconds",
        kind="histogram",
        help="How long clients that came back had been away.",
        means="Near session.resume_window_s sessions are about to be lost.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_recoveries",
        kind="counter",
        help="Legs that were lost and replaced, by what came of it.",
        means="Each is a model server that failed under a session, which the client did not have to notice.",
        labels={"outcome": _OUTCOME},
        words={"outcome": _OUTCOMES},
    ),
    Metric(
        name="parley_recovery_seconds",
        kind="histogram",
        help="From a leg's loss until another had caught up.",
        means="How long captions stood still.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_audio_replayed_seconds",
        kind="counter",
        help="Audio that a model heard again after a loss.",
        means="The price of recoveries, in model time.",
    ),
    Metric(
        name="parley_audio_lost_seconds",
        kind="counter",
        help="Audio whose words may be missing after a loss.",
        means="Anything but 0 is words that were spoken and not written; clients were told which.",
    ),
    Metric(
        name="parley_audio_dropped_seconds",
        kind="counter",
        help="Audio that was dropped at a bound, where the session's policy says so.",
        means="The model does not keep up: parley_lag_seconds.",
        labels={"reason": "input-overrun"},
        words={"reason": ("input-overrun",)},
    ),
)

LEGS: tuple[Metric, ...] = (
    Metric(
        name="parley_legs_asked",
        kind="counter",
        help="Streams on model servers that sessions asked for, by what for.",
        means="successor are rotations, recovery are losses.",
        labels={"purpose": "new, return, successor or recovery"},
        words={"purpose": ("new", "return", "successor", "recovery")},
    ),
    Metric(
        name="parley_leg_open_seconds",
        kind="histogram",
        help="From asking for a stream to its being open, the queue included.",
        means="A slow handshake is a model server that is overloaded or far away.",
        bounds=OPENING_S,
    ),
    Metric(
        name="parley_legs_failed",
        kind="counter",
        help="Streams that could not be opened, or were lost.",
        means="Which model server: parley_upstreams, and `parley upstreams`.",
        labels={"code": _CODE, "phase": "opening or open"},
    ),
)

PACE: tuple[Metric, ...] = (
    Metric(
        name="parley_lag_seconds",
        kind="histogram",
        help="Looked at once a second: how long ago the oldest audio came that the model has not answered.",
        means="How far captions are behind. Over a second people notice.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_commit_lag_seconds",
        kind="histogram",
        help="Looked at once a second: audio whose text may still change, or would have to be decoded again.",
        means="What a loss would cost at this moment.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_model_delay_seconds",
        kind="histogram",
        help="Looked at once a second: how long ago the oldest audio was sent that the model has not consumed.",
        means="The model, and the link to it: less parley_upstream_round_trip_seconds it is the model alone.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_upstream_round_trip_seconds",
        kind="histogram",
        help="Round trips of pings to model servers.",
        means="The link to them, whatever the model is doing.",
        bounds=FAST_S,
    ),
    Metric(
        name="parley_client_round_trip_seconds",
        kind="histogram",
        help="Round trips of pings to clients.",
        means="Their link, whatever they send.",
        bounds=FAST_S,
    ),
    Metric(
        name="parley_input_late_seconds",
        kind="histogram",
        help="Looked at once a second: how far an open turn's audio is behind the time since its first piece.",
        means="Clients that buffer, or pause, before they send. With a low round trip it is not the network.",
        bounds=SPEECH_S,
    ),
    Metric(
        name="parley_forwarding_seconds",
        kind="histogram",
        help="How long one in 32 messages took through this server, from the loop's turn in which it came.",
        means="What Parley itself adds, and up to 1 ms more: so fine is the loop's clock. Rises with "
        "parley_loop_lag_seconds.",
        labels={"direction": "up, to the model, or down, to the client"},
        words={"direction": ("up", "down")},
        bounds=FAST_S,
    ),
)

PRESSURE: tuple[Metric, ...] = (
    Metric(
        name="parley_blocked_seconds",
        kind="counter",
        help="How long somebody did not read, or was not read.",
        means="client-output: slow clients. client-input: audio faster than the model. upstream: a model server "
        "that stands still.",
        labels={"side": "client-input, client-output or upstream"},
        words={"side": ("client-input", "client-output", "upstream")},
    ),
    Metric(
        name="parley_buffer_bytes",
        kind="histogram",
        help="Looked at once a second: memory that a session keeps.",
        means="What memory is needed for; grows with lag and with clients that are away.",
        bounds=SIZES,
    ),
    Metric(
        name="parley_buffer_peak_bytes",
        kind="histogram",
        help="The most audio that a session held for its model, when it ended.",
        means="How near sessions come to session.held_audio_max_s.",
        bounds=SIZES,
    ),
    Metric(
        name="parley_output_peak_bytes",
        kind="histogram",
        help="The most results that a session held for its client, when it ended.",
        means="How near sessions come to session.output_max_bytes.",
        bounds=SIZES,
    ),
    Metric(
        name="parley_deltas_dropped",
        kind="counter",
        help="Pieces of text that slow clients were not sent, counted when their session ends; finals have it all.",
        means="Clients that read too slowly for live text: parley_blocked_seconds_total.",
    ),
)

NODE: tuple[Metric, ...] = (
    Metric(
        name="parley_sessions",
        kind="gauge",
        help="Live sessions, by state.",
        means="detached ones wait for their clients, queued ones for a model server.",
        labels={"state": "queued, live, parked, recovering, detached or leaving"},
        words={"state": ("queued", "live", "parked", "recovering", "detached", "leaving")},
    ),
    Metric(
        name="parley_places",
        kind="gauge",
        help="Places that are in use, of server.max_sessions.",
        means="Near parley_places_limit new sessions are refused or queued.",
    ),
    Metric(
        name="parley_places_limit",
        kind="gauge",
        help="server.max_sessions.",
        means="The node's bound.",
    ),
    Metric(
        name="parley_queue_length",
        kind="gauge",
        help="Sessions that wait for their first stream.",
        means="Anything that stays above 0 is demand without capacity.",
    ),
    Metric(
        name="parley_streams_opening",
        kind="gauge",
        help="Streams that are being opened on model servers.",
        means="Stays high when model servers do not answer handshakes.",
    ),
    Metric(
        name="parley_upstreams",
        kind="gauge",
        help="Model servers, by pool and state.",
        means="Fewer that are ready than there should be: `parley upstreams` says why.",
        labels={"pool": _POOL, "state": "as `parley upstreams` shows it"},
    ),
    Metric(
        name="parley_upstream_streams",
        kind="gauge",
        help="Streams in use on a pool's model servers.",
        means="The load that they carry.",
        labels={"pool": _POOL},
    ),
    Metric(
        name="parley_upstream_delay_seconds",
        kind="gauge",
        help="The delay that one in twenty of a pool's streams at work is over.",
        means="The model servers' own saturation; upstream.lag_budget_s keeps new sessions away above it.",
        labels={"pool": _POOL},
    ),
    Metric(
        name="parley_pool_ready",
        kind="gauge",
        help="1 while any model server of the pool answers.",
        means="0: its sessions can't begin, and those that live are recovering.",
        labels={"pool": _POOL},
    ),
    Metric(
        name="parley_model_server_starts",
        kind="counter",
        help="How often the node has started its own model server, where it has one.",
        means="More than one: it crashed, or was killed. Its sessions recover when it is back.",
    ),
    Metric(
        name="parley_loop_lag_seconds",
        kind="gauge",
        help="How late the event loop was in the last minute: half of the time, all but a hundredth of it, at worst.",
        means="The gateway's own saturation. Over 50 ms for p99 everybody on the node feels it.",
        labels={"quantile": "0.5, 0.99 or 1"},
        words={"quantile": ("0.5", "0.99", "1")},
    ),
    Metric(
        name="parley_resident_memory_bytes",
        kind="gauge",
        help="Memory of the process and of what it has started.",
        means="Grows with sessions and their buffers; without them it is a leak.",
    ),
    Metric(
        name="parley_ready",
        kind="gauge",
        help="1 while balancers should send clients here, as /ping says.",
        means="0 on a node that should serve: `parley node` says why.",
    ),
    Metric(
        name="parley_starting",
        kind="gauge",
        help="1 until a model server has answered for the first time.",
        means="1 for minutes while a model is loaded; for longer it is never going to be.",
    ),
    Metric(
        name="parley_draining",
        kind="gauge",
        help="1 while the node is drained or being drained.",
        means="1 for long: sessions do not finish and can't move.",
    ),
    Metric(
        name="parley_uptime_seconds",
        kind="gauge",
        help="Since the node's start.",
        means="Falls to 0 at a restart.",
    ),
    Metric(
        name="parley_build_info",
        kind="gauge",
        help="Always 1.",
        means="Which release runs where.",
        labels={"version": "the release"},
    ),
)

CATALOGUE: tuple[Metric, ...] = (*SESSIONS, *TURNS, *CONTINUITY, *LEGS, *PACE, *PRESSURE, *NODE)

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in CATALOGUE}
