"""The state of a session, in the one word that says most of what becomes of it."""

from typing import Literal, get_args

from parley.core.survey import Survey

SessionState = Literal["queued", "live", "parked", "recovering", "detached", "leaving"]
SESSION_STATES: tuple[str, ...] = get_args(SessionState)


def state_of(survey: Survey) -> SessionState:
    """The state of a session that stands so."""
    if survey.is_leaving:
        return "leaving"
    if survey.is_queued:
        return "queued"
    if survey.recovering:
        return "recovering"
    if not survey.is_attached:
        return "detached"
    return "parked" if survey.is_parked else "live"
