"""``python -m runner``."""

import os
import sys

if __name__ == "__main__":
    # `python -m` looks for modules in the directory of the command first: there a data folder's onnx.py or csv.py would be
    # run in place of the library. This package is found by now; a user's own classes are looked for there later, and last.
    try:
        here = os.getcwd()
    except OSError as error:
        sys.exit(f"error: the directory of the command cannot be used ({error.strerror}). Change to one that exists.")
    if sys.path and not sys.flags.safe_path and sys.path[0] == here:
        del sys.path[0]
    from runner.app.main import console

    console()
