"""``python -m runner``."""

if __name__ == "__main__":
    from runner.app.main import console

    console()
