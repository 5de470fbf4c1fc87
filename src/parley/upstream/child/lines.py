"""A byte stream cut into lines of bounded length, for logs."""

LINE_MAX_BYTES = 4096


class LineSplitter:
    """Turns chunks into lines. Holds at most `line_max_bytes`; what a line has beyond that is counted, not kept.

    A carriage return ends a line too: progress bars would otherwise be one line for minutes.
    """

    def __init__(self, line_max_bytes: int = LINE_MAX_BYTES) -> None:
        self._line_max_bytes = line_max_bytes
        self._line = bytearray()
        self._cut_bytes = 0

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that this chunk completes, decoded, empty ones left out."""
        *ended, rest = chunk.replace(b"\r", b"\n").split(b"\n")
        lines = []
        for piece in ended:
            self._keep(piece)
            lines += self.end()
        self._keep(rest)
        return lines

    def end(self) -> list[str]:
        """The line begun and not ended, if there is one."""
        line = self._line.decode(errors="replace").rstrip()
        if self._cut_bytes:
            line += f" [{self._cut_bytes} bytes more]"
        self._line.clear()
        self._cut_bytes = 0
        return [line] if line else []

    def _keep(self, piece: bytes) -> None:
        room = self._line_max_bytes - len(self._line)
        self._line += piece[:room]
        self._cut_bytes += max(0, len(piece) - room)
