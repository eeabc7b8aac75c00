"""A hub on the loopback: real HTTP with the hub's paths, and with every fault that a test asks for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What the hub has, and how it misbehaves.

    Parameters
    ----------
    files
        By name.
    plain
        Names of files that git keeps itself, with a SHA-1, not by LFS.
    token
        If set, who does not bear it is refused.
    breaks
        After how many bytes the connection breaks, an entry for each answer with a file.
    ranges
        Whether parts can be asked for.
    damaged
        Names of files whose last byte is another one.
    failures
        So many requests are answered with status 503 first.
    sizes
        Sizes that are told instead of the true ones.
    redirect
        Where files are, if elsewhere.
    hold
        If set, files end after `hold_at` bytes and go on when it is set.
    asked
        Every request: path, Range, Authorization.
    """

    files: dict[str, bytes]
    plain: set[str] = field(default_factory=set)
    token: str = ""
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    damaged: set[str] = field(default_factory=set)
    failures: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    redirect: str = ""
    hold: threading.Event | None = None
    hold_at: int = 0
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    url: str = ""

    def digest(self, name: str) -> str:
        content = self.files[name]
        if name in self.plain:
            return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return hashlib.sha256(content).hexdigest()

    def listing(self) -> bytes:
        siblings = []
        for name, content in self.files.items():
            size = self.sizes.get(name, len(content))
            entry = {"rfilename": name, "size": size, "blobId": hashlib.sha1(content).hexdigest()}
            if name in self.plain:
                entry["blobId"] = self.digest(name)
            else:
                entry["lfs"] = {"sha256": self.digest(name), "size": size, "pointerSize": 134}
            siblings.append(entry)
        return json.dumps({"id": "google/magenta-realtime-2", "sha": COMMIT, "siblings": siblings}).encode()

    def downloads(self) -> list[tuple[str, str | None]]:
        """Return path and Range of every request for a file."""
        return [(path, part) for path, part, _ in self.asked if "/resolve/" in path]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        part, token = self.headers.get("Range"), self.headers.get("Authorization")
        hub.asked.append((path, part, token))
        if hub.failures > 0:
            hub.failures -= 1
            return self._answer(503, b"busy")
        if hub.token and token != f"Bearer {hub.token}":
            return self._answer(401, b'{"error": "Invalid username or password."}')
        if path.startswith("/api/models/"):
            return self._answer(200, hub.listing())
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in hub.files:
            return self._answer(404, b"Entry not found")
        if hub.redirect:
            self.send_response(302)
            self.send_header("Location", hub.redirect + self.path)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._file(name, int(part[6:-1]) if part and hub.ranges else 0)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name: str, begin: int) -> None:
        hub, content = self.hub, self.hub.files[name]
        if name in hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if hub.hold is not None:
            self.wfile.write(body[: hub.hold_at])
            self.wfile.flush()
            hub.hold.wait(60)
            body = body[hub.hold_at :]
        if hub.breaks:
            body = body[: hub.breaks.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve it on a free port of the loopback; its `url` is set."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        if hub.hold is not None:
            hub.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
