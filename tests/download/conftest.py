"""A web server of the test's own, without a proxy in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http_server import WebServer, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as running:
        yield running
