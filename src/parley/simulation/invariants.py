"""What must hold in every run, and how it is said that it does not."""


class InvariantBroken(Exception):  # noqa: N818  it is a finding, not an error of the simulator
    """Something that must hold does not; the text says what."""


def require(holds: bool, what: str, *values: object) -> None:
    """Fail unless it holds; `what` is a format for `values`.

    Raises:
        InvariantBroken: it does not hold.
    """
    if not holds:
        raise InvariantBroken(what.format(*values))
