"""`python -m artstore.witness init` once, then `python -m artstore.witness serve`."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from artstore.core.model.findings import told
from artstore.core.settings import ConfigurationError
from artstore.witness.app import serve
from artstore.witness.settings import WitnessSettings, make_key_file

NAME = "python -m artstore.witness"


def main(arguments: list[str] | None = None, program: str = NAME) -> int:
    options = vars(_parser(program).parse_args(arguments))
    command = options.pop("command")
    try:
        if command == "init":
            _init(options["key_file"], options["name"])
        else:
            given = {name: value for name, value in options.items() if value is not None}
            serve(WitnessSettings(**given))
    except ValidationError as error:
        for found in error.errors():
            option = "--" + str(found["loc"][0] if found["loc"] else "").replace("_", "-")
            print(f"artstore witness: {option}: {told(found)}", file=sys.stderr)  # noqa: T201
        return 1
    except ConfigurationError as error:
        print(f"artstore witness: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _init(key_file: Path, name: str) -> None:
    for key in make_key_file(key_file, name):
        print(key)  # noqa: T201  public: this is what the logs and their readers are given


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Cosigns the checkpoints of transparency logs and refuses a history that "
        "shrank or forked. Run it where nobody who runs the log can reach.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", help="make the keys of a new witness, print the public ones")
    init.add_argument("--key-file", type=Path, required=True, help="a new file")
    init.add_argument("--name", required=True, help="for example witness.example/w1")
    serving = commands.add_parser(
        "serve", help="run; each option may be a variable instead, ARTSTORE_WITNESS_KEY_FILE..."
    )
    for name in ("key-file", "logs-file", "state", "tls-certificate-file", "tls-key-file"):
        serving.add_argument(f"--{name}", type=Path)
    serving.add_argument("--host")
    serving.add_argument("--port", type=int)
    serving.add_argument("--behind-proxy", action="store_const", const=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
