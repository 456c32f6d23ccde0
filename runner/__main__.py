"""``python -m runner``."""

from runner.app.main import console

if __name__ == "__main__":
    console()
