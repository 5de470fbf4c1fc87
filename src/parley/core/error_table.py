"""Every error Parley reports, as data: one table from a stable code to what each wire says of it."""

from parley.core.error_spec import ErrorSpec, Fault, Retry


def _client(
    code: str,
    summary: str,
    fix: str,
    *,
    vllm: str = "invalid_event",
    http: int = 400,
    close: int = 1008,
    retry: Retry = Retry.SAME_SESSION,
    aws: str = "InputValidationError",
) -> ErrorSpec:
    return ErrorSpec(
        code=code,
        fault=Fault.CLIENT,
        retry=retry,
        http_status=http,
        ws_close=close,
        h2_error="NO_ERROR",
        aws_exception=aws,
        openai_type="invalid_request_error",
        vllm_code=vllm,
        summary=summary,
        fix=fix,
    )


def _upstream(
    code: str, summary: str, fix: str, *, http: int = 424, close: int = 1011, retry: Retry = Retry.NEW_SESSION
) -> ErrorSpec:
    return ErrorSpec(
        code=code,
        fault=Fault.UPSTREAM,
        retry=retry,
        http_status=http,
        ws_close=close,
        h2_error="NO_ERROR",
        aws_exception="ServiceUnavailableError" if http == 503 else "ModelError",
        openai_type="server_error",
        vllm_code="processing_error",
        summary=summary,
        fix=fix,
    )


def _server(
    code: str,
    summary: str,
    fix: str,
    *,
    http: int = 503,
    close: int = 1013,
    h2: str = "REFUSED_STREAM",
    retry: Retry = Retry.NEW_SESSION,
) -> ErrorSpec:
    return ErrorSpec(
        code=code,
        fault=Fault.SERVER,
        retry=retry,
        http_status=http,
        ws_close=close,
        h2_error=h2,
        aws_exception="ServiceUnavailableError" if http == 503 else "InternalServerError",
        openai_type="server_error",
        vllm_code="processing_error",
        summary=summary,
        fix=fix,
    )


_ROWS = (
    # What the client sent.
    _client(
        "invalid-json",
        "The message is not JSON.",
        "Send one JSON object in each text frame, encoded as UTF-8.",
        vllm="invalid_json",
    ),
    _client(
        "invalid-event",
        "The event lacks a field or has one of the wrong type.",
        "Compare it with docs/protocol.md; session.update takes a top-level `model`.",
    ),
    _client(
        "unknown-event",
        "The event's type is not one that this endpoint knows.",
        "Send session.update, input_audio_buffer.append or input_audio_buffer.commit.",
        vllm="unknown_event",
    ),
    _client(
        "invalid-audio",
        "The audio is empty, not base64, or not a whole number of 16-bit samples.",
        "Send base64 (padded) of PCM16 little-endian, 16 kHz, mono, an even number of bytes.",
        vllm="invalid_audio",
    ),
    _client(
        "binary-frame",
        "A binary frame arrived where JSON text belongs.",
        "Send JSON in text frames; audio goes as base64 in input_audio_buffer.append.",
        close=1003,
    ),
    _client(
        "message-too-large",
        "The message is larger than this endpoint takes.",
        "Send audio in pieces of 20 ms to 1 s.",
        http=413,
        close=1009,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "model-not-found",
        "The model asked for is not served here.",
        "Name a model that GET /v1/models lists, or leave the name empty.",
        vllm="model_not_found",
        http=404,
    ),
    _client(
        "model-not-set",
        "A turn was started before session.update named the model.",
        'Send {"type":"session.update","model":"..."} first.',
        vllm="model_not_validated",
    ),
    _client(
        "input-overflow",
        "More audio was sent before the turn was started than the session may hold.",
        'Send {"type":"input_audio_buffer.commit"} first, then the audio.',
        http=413,
        close=1009,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "too-many-turns",
        "More turns are waiting than the session may hold.",
        "Wait for transcription.done before starting further turns.",
        http=429,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "too-many-errors",
        "The connection was closed after too many invalid messages.",
        "Fix the cause that the earlier errors name, then connect again.",
        http=429,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "slow-client",
        "The client did not read its results, and the output held for it reached its limit.",
        "Read from the connection while sending.",
        http=408,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "too-many-sessions",
        "This client's sessions are as many as it may have at a time.",
        "End one of them, or ask the operator for a higher limit.",
        http=429,
        close=1013,
        retry=Retry.NEW_SESSION,
        aws="ThrottlingException",
    ),
    _client(
        "too-many-connects",
        "Connections come faster than this server takes them.",
        "Connect again after the time given, each client after a time of its own.",
        http=429,
        close=1013,
        retry=Retry.NEW_SESSION,
        aws="ThrottlingException",
    ),
    _client(
        "idle-timeout",
        "Nothing, or no speech, came for as long as a session may be idle.",
        "Start a new session when there is something to say.",
        http=408,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "duration-limit",
        "The session has lasted as long as a session may.",
        "Start a new session; session.expiring says when it is time.",
        http=408,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "unsupported-media",
        "The body's content type or encoding is not one that can be read.",
        "Send audio/wav, or raw PCM16 as audio/pcm;rate=16000;channels=1.",
        http=415,
        retry=Retry.NEVER,
    ),
    _client(
        "invalid-wav",
        "The file says it is WAV and is not, or holds an encoding that cannot be read.",
        "Send PCM, float or G.711 WAV; convert others with ffmpeg.",
        retry=Retry.NEVER,
    ),
    _client(
        "bad-request",
        "The request is not valid HTTP for this route, or not a WebSocket upgrade.",
        "See docs/protocol.md for the routes and their methods.",
        retry=Retry.NEVER,
    ),
    _client(
        "not-found",
        "There is no such route.",
        "See docs/protocol.md for the routes.",
        http=404,
        retry=Retry.NEVER,
    ),
    _client(
        "invalid-event-stream",
        "The event stream is broken: a checksum, a length or a header of an event is wrong.",
        "Encode events as application/vnd.amazon.eventstream; a proxy may have changed or cut the stream.",
        close=1002,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "endpoint-not-found",
        "There is no endpoint of this name, or it has no such variant.",
        "Name one that the server's settings list under `endpoints`.",
        http=400,
        retry=Retry.NEVER,
    ),
    # Who the client is.
    _client(
        "not-authenticated",
        "The request is not signed.",
        "Sign it with Signature Version 4 for the service `sagemaker`; AWS's SDKs do, given credentials.",
        http=403,
        retry=Retry.NEVER,
        aws="MissingAuthenticationTokenException",
    ),
    _client(
        "unknown-credentials",
        "The access key or its session token is not known here.",
        "Use credentials that the server's file of access keys lists.",
        http=403,
        retry=Retry.NEVER,
        aws="UnrecognizedClientException",
    ),
    _client(
        "expired-credentials",
        "The temporary credentials have expired.",
        "Fetch new ones and connect again.",
        http=403,
        retry=Retry.NEW_SESSION,
        aws="ExpiredTokenException",
    ),
    _client(
        "invalid-signature",
        "A signature does not match what was signed, or something that has to be signed is not.",
        "Check the secret key, the region and the service `sagemaker`; a proxy may have changed the request.",
        http=403,
        retry=Retry.NEVER,
        aws="InvalidSignatureException",
    ),
    _client(
        "clock-skew",
        "The time of signing is too far from this server's clock.",
        "Set the client's clock, or this server's.",
        http=403,
        retry=Retry.NEW_SESSION,
        aws="InvalidSignatureException",
    ),
    _client(
        "request-replayed",
        "A request with this signature has been taken already.",
        "Sign each request anew.",
        http=403,
        retry=Retry.NEW_SESSION,
        aws="InvalidSignatureException",
    ),
    # Who came back for a session.
    _client(
        "unknown-session",
        "No session has this token.",
        "Start a new session; a token is good for one server and for as long as its session lives.",
        http=404,
        close=4404,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "expired",
        "The session has ended.",
        "Start a new session; come back within the window that session.updated names.",
        http=410,
        close=4410,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "gap",
        "The session no longer has, or never sent, the events that would follow this number.",
        "Start a new session; acknowledge events with session.ack as they come, and name the last one received.",
        http=409,
        close=4416,
        retry=Retry.NEW_SESSION,
    ),
    _client(
        "superseded",
        "Another connection has taken the session over.",
        "Nothing, if that was you; a token is for one client at a time.",
        http=409,
        close=4409,
        retry=Retry.NEVER,
    ),
    _client(
        "wrong-principal",
        "The session was started with other credentials.",
        "Come back with the credentials that the session was started with.",
        http=403,
        close=4403,
        retry=Retry.NEVER,
    ),
    _server(
        "moved",
        "The session goes on at another server.",
        "Connect again and resume it with its token.",
        close=1012,
        retry=Retry.SAME_SESSION,
    ),
    _server(
        "state-unsupported",
        "The session was left by a newer release, whose state this one can't read.",
        "Connect again, perhaps to another server; otherwise start a new session.",
        close=4426,
    ),
    _server(
        "state-unreadable",
        "The session was left here by another server, and its state can't be read.",
        "Start a new session; the operator should look at the store.",
        close=4410,
    ),
    # What became of the model server.
    _upstream(
        "upstream-unavailable",
        "The model server could not be reached or is not ready.",
        "Retry; the operator should look at the model server's log and GET /ping.",
        http=503,
        close=1013,
    ),
    _upstream(
        "upstream-closed",
        "The model server closed its connection or died during the turn.",
        "Start a new session and send the turn again; its text so far is not complete.",
    ),
    _upstream(
        "upstream-error",
        "The model server reported an error during the turn.",
        "Start a new session and send the turn again; the operator should look at the model server's log.",
    ),
    _upstream(
        "upstream-truncated",
        "The model server ended the turn before it was told to: its length limit, or a shutdown.",
        "Start a new session for the rest; the operator may raise the model's length limit.",
    ),
    _upstream(
        "upstream-stalled",
        "The model server accepts audio and answers nothing.",
        "Retry later; the operator should look for an overloaded model server.",
    ),
    _upstream(
        "upstream-protocol",
        "The model server sent something that its protocol does not allow.",
        "The operator should check that the upstream URL is a vLLM realtime endpoint of a supported version.",
    ),
    _upstream(
        "upstream-mute",
        "The model server answers speech with nothing.",
        "Retry; the operator should look at the model server's version: vLLM has a known fault of this kind.",
    ),
    _upstream(
        "input-overrun",
        "Audio came faster than the model takes it, for longer than the session may hold it.",
        "Retry later; send at the speed of speech, or have the session block or drop instead.",
        http=503,
        close=1013,
    ),
    _upstream(
        "lag-limit",
        "The model fell further behind the audio than a session may.",
        "Retry later; the operator should look for an overloaded model server.",
        http=503,
        close=1013,
    ),
    _upstream(
        "turn-failed",
        "The turn could not be transcribed: model servers failed on it again and again.",
        "Go on with the next turn; the operator should look at the model server's log.",
        retry=Retry.SAME_SESSION,
    ),
    _upstream(
        "container-refused",
        "The container behind this endpoint did not open a WebSocket.",
        "Check the invocation path and the query string; the operator should look at the container's log.",
    ),
    _upstream(
        "container-closed",
        "The container behind this endpoint closed its WebSocket.",
        "What it said about it is in the detail; start a new session.",
    ),
    # What this server decided.
    _server(
        "at-capacity",
        "Every stream that this server may open is in use.",
        "Retry after the time given, or use another server.",
    ),
    _server(
        "shutting-down",
        "The server is going away.",
        "Connect again; another server, or this one after its restart, takes over.",
        close=1012,
    ),
    _server(
        "internal-error",
        "Parley failed; this is a bug.",
        "Report it with the session's id; a new session may work.",
        http=500,
        close=1011,
        h2="INTERNAL_ERROR",
    ),
)

ERRORS: dict[str, ErrorSpec] = {row.code: row for row in _ROWS}
"""The table, by code. `docs/errors.md` lists the same set; a test compares them."""
