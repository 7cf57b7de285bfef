"""`streamer` and `python -m streamer`: quiet until `cli/main.py` listens to signals."""

import signal


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while this imports
    from streamer.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
