"""``python -m runner.tune``."""

from runner.tune.main import console

if __name__ == "__main__":
    console()
