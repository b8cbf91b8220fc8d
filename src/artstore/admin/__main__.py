"""`python -m artstore.admin [serve [--plan FILE]]`, and `python -m artstore.admin prepare`."""

import argparse
from pathlib import Path

from artstore.admin.app import create_app
from artstore.admin.prepare import prepare
from artstore.admin.settings import AdminSettings
from artstore.core.errors import ArtStoreError
from artstore.core.secrets.starting import end_with, start
from artstore.core.settings import ConfigurationError
from artstore.core.web.server import serve


def main() -> None:
    arguments = _parser().parse_args()
    try:
        settings, secrets = start(AdminSettings, "admin")
        if arguments.command == "prepare" or arguments.plan is not None:
            prepare(settings, secrets, arguments.plan)
        if arguments.command != "prepare":
            serve(create_app(settings, secrets), settings)
    except (ConfigurationError, ArtStoreError) as error:
        end_with("admin", error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m artstore.admin")
    parser.set_defaults(plan=None)
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="run the module (the default)")
    serving.add_argument(
        "--plan", type=Path, help="prepare first, in the same process: it loads most of its time"
    )
    preparing = commands.add_parser(
        "prepare", help="migrate the database and create what a new installation begins with"
    )
    preparing.add_argument("--plan", type=Path, help="JSON: admin, accounts, storage elements")
    return parser


if __name__ == "__main__":
    main()
