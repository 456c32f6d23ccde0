"""Addresses are told without what opens them."""

from __future__ import annotations

import pytest

from runner.credentials import values_without_credentials, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s%40cret@host:5432/runs", "postgresql://me@host:5432/runs"),
        ("postgresql+psycopg2://me:s#c/r?t@host/runs", "postgresql+psycopg2://me@host/runs"),
        ("postgresql://me@host/runs?sslmode=require", "postgresql://me@host/runs?sslmode=require"),
        (
            "postgresql://host/runs?user=me&password=s3&sslpassword=x",
            "postgresql://host/runs?user=me&password=***&sslpassword=***",
        ),
        ("https://me:secret@host/mlflow", "https://host/mlflow"),
        ("https://me:p@ss@host/mlflow", "https://host/mlflow"),
        ("https://me:pa/ss@host/mlflow", "https://host/mlflow"),
        ("https://token@host/mlflow", "https://host/mlflow"),
        ("https://host/a?X-Amz-Signature=ab%2F&X-Amz-Date=1", "https://host/a?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://host/a?sv=1&sig=ab#top", "https://host/a?sv=1&sig=***#top"),
        (
            "retries exceeded with url: /a?access_token=ab (host='h')",
            "retries exceeded with url: /a?access_token=*** (host='h')",
        ),
        ("uri=postgresql\\://me\\:s@host\\:1/r", "uri=postgresql\\://me@host\\:1/r"),
        ("https\\://host/a?token\\=ab", "https\\://host/a?token\\=***"),
        ("uri: 'https://me:x@host/a', and http://b:y@host", "uri: 'https://host/a', and http://host"),
    ],
)
def test_what_opens_an_address_is_left_out(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert without_credentials(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000",
        "http://host:5000/@user/net.onnx",
        "https://host/a@b?download=true&name=key",
        "sqlite:////a b/m@n.db",
        "me@host.org",
        "/data/a?b=c",
        "design://x",
        "",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert without_credentials(text) == text


def test_values_of_a_configuration_at_any_depth() -> None:
    given = {"model": {"url": "https://t@h/x"}, "list": [{"uri": "http://a:b@h"}, 1], "seed": 0, "none": None}
    assert values_without_credentials(given) == {
        "model": {"url": "https://h/x"},
        "list": [{"uri": "http://h"}, 1],
        "seed": 0,
        "none": None,
    }
