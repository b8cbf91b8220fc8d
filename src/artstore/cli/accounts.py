"""`artstore accounts`: machines that may use the API."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from artstore.cli.options import JsonOption, YesOption

if TYPE_CHECKING:
    from artstore.client.store import ArtStore

ACCOUNTS = "/api/v1/service-accounts"

GRANTS = "/api/v1/grants"

ClientIdArgument = Annotated[str, typer.Argument(help="Name of the account.")]
CollectionArgument = Annotated[str, typer.Argument(help="Name of the collection.")]
RoleOption = Annotated[str, typer.Option(help="admin, user, auditor or readonly.")]
DaysOption = Annotated[int | None, typer.Option(min=1, help="End after so many days.")]
PerMinuteOption = Annotated[
    int | None, typer.Option(min=1, help="Requests it may make in a minute.")
]
RestrictedOption = Annotated[bool, typer.Option(help="Only what grants allow.")]

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
            columns = ("client_id", "role", "state", "last_used_at", "expires_at", "restricted")
            print_table(accounts, columns)


@commands.command()
def create(
    client_id: ClientIdArgument,
    *,
    role: RoleOption = "user",
    days: DaysOption = None,
    per_minute: PerMinuteOption = None,
    restricted: RestrictedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create an account and print its secret, this once."""
    body = {
        "client_id": client_id,
        "role": role,
        "expires_at": _in_days(days),
        "requests_per_minute": per_minute,
        "restricted": restricted,
    }
    _change("POST", ACCOUNTS, body, as_json=as_json)


@commands.command()
def show(client_id: ClientIdArgument, as_json: JsonOption = False) -> None:
    """Show an account."""
    _change("GET", _path(client_id), as_json=as_json)


@commands.command()
def change(
    client_id: ClientIdArgument,
    *,
    role: Annotated[str | None, typer.Option(help="admin, user, auditor or readonly.")] = None,
    days: DaysOption = None,
    per_minute: PerMinuteOption = None,
    restricted: Annotated[
        bool | None, typer.Option(help="Only what grants allow, or all collections.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change an account. What is not named stays; tokens it holds end."""
    wanted = {
        "role": role,
        "expires_at": _in_days(days),
        "requests_per_minute": per_minute,
        "restricted": restricted,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    _change("PATCH", _path(client_id), body, as_json=as_json)


@commands.command("rotate-secret")
def rotate_secret(
    client_id: ClientIdArgument,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=720, help="So long the old secret stays good too.")
    ] = 0,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give an account a new secret and print it, this once."""
    from artstore.cli.values import confirm

    if not overlap_hours:
        confirm(f"replace the secret of {client_id}; the old one ends now", yes)
    body = {"overlap_s": overlap_hours * 3600}
    _change("POST", f"{_path(client_id)}/rotate-secret", body, as_json=as_json)


@commands.command()
def suspend(
    client_id: ClientIdArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Let an account do nothing any more, from this second. Accounts are never erased."""
    from artstore.cli.values import confirm

    confirm(f"suspend {client_id}", yes)
    _change("DELETE", _path(client_id), as_json=as_json)


@commands.command()
def resume(client_id: ClientIdArgument, as_json: JsonOption = False) -> None:
    """Let a suspended account work again."""
    _change("POST", f"{_path(client_id)}/resume", as_json=as_json)


@commands.command("end-tokens")
def end_tokens(
    client_id: ClientIdArgument,
    reason: Annotated[str, typer.Option(help="Stays in the audit log.")],
    yes: YesOption = False,
) -> None:
    """End all tokens that an account holds. It may get new ones."""
    from artstore.cli.values import confirm
    from artstore.client.store import ArtStore

    confirm(f"end all tokens of {client_id}", yes)
    with ArtStore.from_home() as store:
        order = {"kind": "account", "value": _subject(store, client_id), "reason": reason}
        store.call("POST", "/api/v1/revocations", body=order)


@commands.command()
def grants(client_id: ClientIdArgument, as_json: JsonOption = False) -> None:
    """List what an account may do in which collection."""
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        found = store.call("GET", GRANTS, parameters={"subject": _subject(store, client_id)})
    for grant in found["items"] if as_json else ():
        print_json(grant)
    if not as_json:
        rows = [{**grant, "rights": ",".join(grant["rights"])} for grant in found["items"]]
        print_table(rows, ("collection", "rights", "ends_at", "granted_at"))


@commands.command()
def grant(
    client_id: ClientIdArgument,
    collection: CollectionArgument,
    rights: Annotated[str, typer.Option(help="Of read, write, delete, manage; comma between.")],
    days: DaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Allow something in a collection. The first grant limits an account to its grants."""
    from artstore.cli.output import print_fields, print_json
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        path = f"{GRANTS}/{_subject(store, client_id)}/{quote(collection, safe='')}"
        body = {"rights": rights.split(","), "ends_at": _in_days(days)}
        made = store.call("PUT", path, body=body)
    (print_json if as_json else print_fields)(made)


@commands.command()
def withdraw(client_id: ClientIdArgument, collection: CollectionArgument) -> None:
    """Withdraw all that was granted in a collection."""
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        path = f"{GRANTS}/{_subject(store, client_id)}/{quote(collection, safe='')}"
        store.call("DELETE", path)


def _subject(store: "ArtStore", client_id: str) -> str:
    return f"account:{store.call('GET', _path(client_id))['account_id']}"


def _in_days(days: int | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    return None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()


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
