"""Addresses without what opens them: passwords and tokens go into no file, log, message or tracking server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Of these the user's name is worth telling; in any other address it may be a token.
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# A port may stand behind the first colon too; an @ in a path belongs to no password. Hydra writes \: and \= in what it keeps.
_USER = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]*)(?P<begins>\\?://)(?P<user>[^:/@\s?#'\"\\]*)"
    r"(?P<password>\\?:(?!\d*(?:[/?#]|$))[^@\s]*)?@(?:[^@/\s?#]*@)*"
)
_QUERY = re.compile(
    r"(?P<name>[?&](?:[\w.%-]*[-_.])?(?:\w*token|\w*secret|\w*password|passwd|pwd|sig|signature|\w*key|credentials?|auth|"
    r"authorization|jwt)\\?=)[^&#\s'\"]+",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """Return a text whose addresses hold no password, no token in the user's place and no secret in their query.

    Names of secrets (``token``, ``X-Amz-Signature``) stay, with ``***`` as their value.
    """
    if "://" in text:
        text = _USER.sub(_shown, text)
    return _QUERY.sub(r"\g<name>***", text)


def _shown(match: re.Match[str]) -> str:
    begin = match["scheme"] + match["begins"]
    user = match["user"] if match["scheme"].partition("+")[0] in DATABASES else ""
    return f"{begin}{user}@" if user else begin


def values_without_credentials(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return plain values, as JSON or a configuration has them, with every text as ``without_credentials`` gives it."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {name: values_without_credentials(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [values_without_credentials(inner) for inner in value]
    return value
