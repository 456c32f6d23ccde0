"""A web server on 127.0.0.1 that gives files, breaks off, dawdles and redirects."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class WebServer:
    """What is served: path -> content; and what was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        """Return the address of a path; ``/half/…``, ``/chunked/…`` (half), ``/mute/…``, ``/drip/…``, ``/head/…`` (the head
        drips), ``/empty/…`` (204, or the number that it is called), ``/late/…`` and ``/page/…`` spoil or delay the file."""
        return self.address + path


class Handler(BaseHTTPRequestHandler):
    web: WebServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.web.requests.append(self.path)
        self.close_connection = True
        _, kind, name = self.path.split("/", 2) if self.path.count("/") > 1 else ("", "", self.path[1:])
        if self.path in self.web.redirects:
            self._head(302, Location=self.web.redirects[self.path])
        elif name not in self.web.files:
            self._head(404)
        elif kind == "empty":
            self._head(int(name) if name.isdigit() else 204)
        elif kind == "head":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + 4000 * b"x")
        elif kind == "mute":
            self.web.ending.wait(20)
        else:
            self._give(kind, self.web.files[name])

    def _give(self, kind: str, content: bytes) -> None:
        half = content[: len(content) // 2]
        if kind == "chunked":
            self._head(200, **{"Transfer-Encoding": "chunked"})
            self.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
            return
        more = {"Content-Type": "text/html"} if kind == "page" else {}
        self._head(200, **{"Content-Length": str(len(content))}, **more)
        if kind == "drip":
            self._drip(content)
            return
        time.sleep(0.2 if kind == "late" else 0)
        self.wfile.write(half if kind == "half" else content)

    def _drip(self, content: bytes) -> None:
        for byte in content:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.web.ending.wait(0.02):
                return

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()


@contextlib.contextmanager
def serving() -> Iterator[WebServer]:
    """Serve from a thread until the end of the block."""
    server = WebServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"web": server}))
    http.handle_error = lambda *_: None  # type: ignore[method-assign] - callers hang up in the middle
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.address = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        server.ending.set()
        http.shutdown()
        http.server_close()
        thread.join()
