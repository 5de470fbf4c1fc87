"""A model server for tests of its supervision: answers /health, and does what its words tell it to.

Words, in order: `report PORT` connect there, send the process id and keep the connection for life; `grandchild PORT`
start a process that reports there; `port N` listen there; `serve` do so for ever; `print TEXT`; `flood BYTES` print a
line that long; `hold MIB` have so much memory; `exit STATUS`; `once PATH` exit unless PATH exists, and create it;
`stubborn` ignore SIGTERM.
"""

import http.server
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-S", __file__)


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(words: list[str]) -> None:
    port = 0
    held: list[object] = []
    rest = iter(words)
    for word in rest:
        match word:
            case "report":
                connection = socket.create_connection(("127.0.0.1", int(next(rest))))
                connection.sendall(b"%d\n" % os.getpid())
                held.append(connection)
            case "grandchild":
                held.append(subprocess.Popen([*COMMAND, "report", next(rest), "serve"]))
            case "port":
                port = int(next(rest))
            case "serve":
                http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
            case "print":
                print(next(rest), flush=True)
            case "flood":
                print("x" * int(next(rest)), flush=True)
            case "hold":
                held.append(b"x" * (int(next(rest)) * 2**20))
            case "exit":
                sys.exit(int(next(rest)))
            case "once":
                marker = Path(next(rest))
                if not marker.exists():
                    marker.touch()
                    sys.exit(1)
            case "stubborn":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    main(sys.argv[1:])
