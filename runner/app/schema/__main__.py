"""``python -m runner.app.schema``: print the JSON schema of the configuration, for editors."""

from __future__ import annotations

import json
import sys

from runner.app.leaving import leave
from runner.app.schema.json_schema import schema


def text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Print the schema and return the exit status."""
    sys.stdout.write(text())
    return 0


if __name__ == "__main__":
    leave(main, result_is_printed=True)
