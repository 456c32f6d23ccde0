"""``python -m runner``."""

if __name__ == "__main__":
    import os
    import sys

    try:
        os.getcwd()
    except OSError as error:
        sys.exit(f"error: the directory of the command cannot be used ({error.strerror}). Change to one that exists.")
    from runner.app.start import console

    console()
