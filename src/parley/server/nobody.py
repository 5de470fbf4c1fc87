"""The client of a session that nobody is attached to."""

from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.core.notices import Notice
from parley.core.usage import Usage


class Nobody:
    """An `Attachment` to nobody. The core holds results back meanwhile; what it says nevertheless goes nowhere."""

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        """Nothing."""

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        """Nothing."""

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        """Nothing."""

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        """Nothing."""

    def send_token(self, token: str, window_s: float, retention: str = "") -> None:
        """Nothing."""

    def round_trip_s(self) -> float | None:
        """Nobody answers."""
        return None

    def pause_input(self) -> None:
        """Nothing."""

    def resume_input(self) -> None:
        """Nothing."""

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        """Nothing."""
