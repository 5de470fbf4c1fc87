"""A clock in place of the `time` module of what is tested; it moves when it is told to."""


class Clock:
    """`monkeypatch.setattr(module, "time", Clock())`."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now
