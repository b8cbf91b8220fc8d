"""The program. It imports nothing at first: an interrupt may come before a command is known."""

import sys


def main() -> None:
    try:
        from artstore.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
