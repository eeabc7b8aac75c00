"""The OSC addresses as a tree in JSON, over HTTP on loopback, in the manner of OSCQuery.

GET of a path gives the node of that address with all below it, ``?HOST_INFO`` what the server is. Nothing can be
changed here.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from jackdaw.engine.host import Host
from jackdaw.engine.parameters import PARAMETERS, Parameter
from jackdaw.engine.protocol.osc import LOOPBACK

__all__ = ["OscQuery"]

_READ, _READ_AND_WRITE = 1, 3
_TIMEOUT_S = 5.0


def _leaf(path: str, parameter: Parameter, value: float) -> dict[str, Any]:
    whole = parameter.integer
    return {
        "FULL_PATH": path,
        "TYPE": "i" if whole else "f",
        "RANGE": [{"MIN": parameter.minimum, "MAX": parameter.maximum}],
        "VALUE": [int(value) if whole else value],
        "DESCRIPTION": parameter.help,
        "UNIT": [parameter.unit],
        "ACCESS": _READ_AND_WRITE,
    }


def tree(host: Host) -> dict[str, Any]:
    """Return the tree of all sessions."""
    sessions = {}
    for session in host.sessions():
        path, values = f"/jackdaw/{session.name}", session.values()
        leaves = {name: _leaf(f"{path}/{name}", parameter, values[name]) for name, parameter in PARAMETERS.items()}
        sessions[session.name] = {"FULL_PATH": path, "DESCRIPTION": session.model_name, "CONTENTS": leaves}
    engine = {"FULL_PATH": "/jackdaw", "CONTENTS": sessions}
    return {"FULL_PATH": "/", "CONTENTS": {"jackdaw": engine}}


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

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, host: Host, port: int, engine: str) -> None:
        info = {"NAME": f"Jackdaw {engine}", "OSC_PORT": port, "OSC_TRANSPORT": "UDP"}
        info["EXTENSIONS"] = dict.fromkeys(("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "UNIT"), True)  # type: ignore[assignment]

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S

            def do_GET(self) -> None:
                name = self.headers.get("Host", "").rpartition(":")[0]
                if name not in (LOOPBACK, "localhost"):  # a page of another site, by a name that it made point here
                    self.send_error(403, "ask 127.0.0.1")
                    return
                asked = urlsplit(self.path)
                found: Any = info if asked.query == "HOST_INFO" else tree(host)
                for part in unquote(asked.path).strip("/").split("/") if found is not info else ():
                    found = found if not part else found.get("CONTENTS", {}).get(part)
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

        self._server = ThreadingHTTPServer((LOOPBACK, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="oscquery")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
