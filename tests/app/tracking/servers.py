"""Servers that misbehave, each in its own way."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"


def _silent(connection: socket.socket, gone: threading.Event) -> None:
    gone.wait()


def _dripping(connection: socket.socket, gone: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(_HEAD)
    while not gone.wait(0.2):
        connection.sendall(b" ")


def _dying(connection: socket.socket, gone: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(_HEAD + b'{"experiment":')


def _faulty(connection: socket.socket, gone: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _foreign(connection: socket.socket, gone: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


BEHAVIOURS: dict[str, Callable[[socket.socket, threading.Event], None] | None] = {
    "refuses": None,
    "silent": _silent,
    "drips": _dripping,
    "dies in its answer": _dying,
    "answers 500": _faulty,
    "is no MLflow": _foreign,
}


@contextlib.contextmanager
def server(behaviour: str) -> Iterator[str]:
    """Serve on a free port meanwhile; gives the address."""
    serve, gone = BEHAVIOURS[behaviour], threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            assert serve is not None
            serve(connection, gone)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        if serve is None:
            listening.close()
        else:
            threading.Thread(target=accept, daemon=True).start()
        yield address
        gone.set()
        time.sleep(0)
