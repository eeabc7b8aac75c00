"""The OSC addresses as a tree in JSON, over HTTP on loopback, in the manner of OSCQuery.

GET of a path gives the node of that address with all below it, ``?HOST_INFO`` what the server is. Nothing can be
changed here. At most 8 requests are answered at a time, one a connection; others are hung up on.
"""

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from jackdaw.engine.host import Host
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.osc import LEVELS, LOOPBACK, value_of
from jackdaw.engine.protocol.osc_requests import ACTIONS
from jackdaw.engine.session import Session
from jackdaw.log import Log

__all__ = ["OscQuery"]

_READ, _WRITE = 1, 2
_TIMEOUT_S = 2.0
_AT_A_TIME = 8
_EXTENSIONS = ("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "UNIT")


def _leaves(session: Session) -> dict[str, dict[str, Any]]:
    """Return what a session has: parameters, what it tells subscribers, what can be done to it."""
    values = session.values()
    leaves: dict[str, dict[str, Any]] = {
        name: {
            "TYPE": "i" if parameter.integer else "f",
            "RANGE": [{"MIN": parameter.minimum, "MAX": parameter.maximum}],
            "VALUE": [value_of(name, values[name])],
            "DESCRIPTION": parameter.help,
            "UNIT": [parameter.unit],
            "ACCESS": _READ | _WRITE,
        }
        for name, parameter in PARAMETERS.items()
    }
    for name in LEVELS:
        text = "peak of left and right, told to subscribers"
        leaves[name] = {"TYPE": "ff", "DESCRIPTION": text, "UNIT": ["dBFS", "dBFS"], "ACCESS": _READ}
    for name, action in ACTIONS.items():
        leaves[name] = {"TYPE": action.types, "DESCRIPTION": action.help, "ACCESS": _WRITE}
    return {name: {"FULL_PATH": f"/jackdaw/{session.name}/{name}", **leaf} for name, leaf in leaves.items()}


def _tree(host: Host) -> dict[str, Any]:
    contents: dict[str, Any] = {
        name: {"FULL_PATH": f"/jackdaw/{name}", "TYPE": "i", "DESCRIPTION": text, "ACCESS": _WRITE}
        for name, text in (("subscribe", "be told of changes for 60 s"), ("unsubscribe", "be told no more"))
    }
    for session in host.sessions():
        path = f"/jackdaw/{session.name}"
        node = {"FULL_PATH": path, "DESCRIPTION": session.model_name, "ACCESS": 0, "CONTENTS": _leaves(session)}
        contents[session.name] = node
    engine = {"FULL_PATH": "/jackdaw", "DESCRIPTION": "sessions", "ACCESS": 0, "CONTENTS": contents}
    return {"FULL_PATH": "/", "DESCRIPTION": "Jackdaw", "ACCESS": 0, "CONTENTS": {"jackdaw": engine}}


class _Server(ThreadingHTTPServer):
    """Bounds how many are answered at a time."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], log: Log) -> None:
        self._free = threading.BoundedSemaphore(_AT_A_TIME)
        self._log = log
        super().__init__((LOOPBACK, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        self._log.warning("oscquery", to=str(client_address), error=repr(sys.exception()))


class OscQuery:
    """Answers on TCP, at the port that OSC has on UDP.

    Parameters
    ----------
    host
        Of the sessions.
    port
        On loopback.
    engine
        Its name.
    log
        Where breakdowns go.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, host: Host, port: int, engine: str, *, log: Log) -> None:
        info = {"NAME": f"Jackdaw {engine}", "OSC_IP": LOOPBACK, "OSC_PORT": port, "OSC_TRANSPORT": "UDP"}
        about = {**info, "EXTENSIONS": dict.fromkeys(_EXTENSIONS, True)}

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S

            def do_GET(self) -> None:
                name = self.headers.get("Host", "").rpartition(":")[0]
                if name not in (LOOPBACK, "localhost"):  # a page of another site, by a name that it made point here
                    self.send_error(403, "ask 127.0.0.1")
                    return
                asked = urlsplit(self.path)
                found = about if asked.query == "HOST_INFO" else _find(_tree(host), unquote(asked.path))
                if found is None:
                    self.send_error(404, "no such address")
                    return
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing of requests."""

        try:
            self._server = _Server(port, Handler, log)
        except OSError as error:
            raise OSError(f"OSC: TCP port {port} on {LOOPBACK} is not free: {error.strerror}; give another") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="oscquery", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _find(node: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the node of that path below `node`, None if there is none."""
    for part in filter(None, path.split("/")):
        node = node.get("CONTENTS", {}).get(part)
        if node is None:
            return None
    return node
