"""`artstore accounts`: machines that may use the API."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from artstore.cli.options import JsonOption, YesOption

ACCOUNTS = "/api/v1/service-accounts"

ClientIdArgument = Annotated[str, typer.Argument(help="Name of the account.")]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="accounts", help="Service accounts.")


@commands.command("list")
def list_accounts(as_json: JsonOption = False) -> None:
    """List the service accounts."""
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        accounts = store.items(ACCOUNTS)
        if as_json:
            for account in accounts:
                print_json(account)
        else:
            print_table(accounts, ("client_id", "role", "state", "created_at"))


@commands.command()
def create(
    client_id: ClientIdArgument,
    role: Annotated[str, typer.Option(help="admin, user, auditor or readonly.")] = "user",
    as_json: JsonOption = False,
) -> None:
    """Create an account and print its secret, this once."""
    _change("POST", ACCOUNTS, {"client_id": client_id, "role": role}, as_json=as_json)


@commands.command("rotate-secret")
def rotate_secret(
    client_id: ClientIdArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Give an account a new secret and print it, this once. The old one ends."""
    from artstore.cli.values import confirm

    confirm(f"replace the secret of {client_id}", yes)
    _change("POST", f"{_path(client_id)}/rotate-secret", as_json=as_json)


@commands.command()
def suspend(
    client_id: ClientIdArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Let an account do nothing any more. Accounts are never erased."""
    from artstore.cli.values import confirm

    confirm(f"suspend {client_id}", yes)
    _change("DELETE", _path(client_id), as_json=as_json)


def _path(client_id: str) -> str:
    return f"{ACCOUNTS}/{quote(client_id, safe='')}"


def _change(method: str, path: str, body: Any = None, *, as_json: bool) -> None:
    from artstore.cli.output import print_fields, print_json
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        account = store.call(method, path, body=body)
    if as_json:
        print_json(account)
    else:
        print_fields(account)
