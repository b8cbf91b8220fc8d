"""`artstore quotas`: how much people and accounts may have, and how much there is."""

from typing import Annotated, Any, Final

import typer

from artstore.cli.options import JsonOption
from artstore.cli.values import count, limit

SubjectArgument = Annotated[
    str, typer.Argument(help="As files name who put them in: account:ID or user:ID.")
]

COLUMNS: Final = ("of", "quota_bytes", "quota_files", "used_bytes", "used_files", "counted_at")

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="quotas", help="Quotas, and what lies there.")


@commands.command("list")
def list_quotas(as_json: JsonOption = False) -> None:
    """List what has a quota: accounts, people and collections."""
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        rules = store.call("GET", "/api/v1/admission-rules")
    rows = [_row(each["subject"], each, each["usage"]) for each in rules["accounts"]]
    for each in rules["collections"]:
        quota = each["admission"]
        if quota["quota_bytes"] is not None or quota["quota_files"] is not None:
            rows.append(_row(each["collection"], quota, each["usage"]))
    if not as_json:
        print_table([_told(row) for row in rows], COLUMNS)
    for row in rows if as_json else ():
        print_json(row)


@commands.command("set")
def set_quota(
    subject: SubjectArgument,
    size: Annotated[str, typer.Option("--bytes", help="Such as 20GB; none: no limit.")] = "none",
    files: Annotated[str, typer.Option(help="Number of files; none: no limit.")] = "none",
) -> None:
    """Limit what a person or account may have in all collections together."""
    from artstore.cli.output import say
    from artstore.client.store import ArtStore

    body = {"quota_bytes": limit(size, "--bytes"), "quota_files": count(files, "--files")}
    with ArtStore.from_home() as store:
        store.call("PUT", f"/api/v1/quotas/{subject}", body=body)
    say(f"{subject} has its quota within seconds; what is there stays")


@commands.command()
def remove(subject: SubjectArgument) -> None:
    """Take the limit of a person or account away."""
    from artstore.cli.output import say
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        store.call("DELETE", f"/api/v1/quotas/{subject}")
    say(f"{subject} has no quota any more")


def _row(name: str, quota: dict[str, Any], usage: dict[str, Any] | None) -> dict[str, Any]:
    used = usage or {"used_bytes": None, "used_files": None, "counted_at": None}
    limits = {key: quota[key] for key in ("quota_bytes", "quota_files")}
    return {"of": name, **limits, **used}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    from artstore.cli.output import size_text

    sizes = {key: row[key] for key in ("quota_bytes", "used_bytes") if row[key] is not None}
    return {**row, **{key: size_text(size_bytes) for key, size_bytes in sizes.items()}}
