"""`artstore audit`: what happened, and the proof of it."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artstore.cli.options import JsonOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.client.audit import LoggedEvent

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

FileOption = Annotated[str | None, typer.Option("--file", help="Id of a file.")]
IndexOption = Annotated[int | None, typer.Option(min=0, help="Default: to the newest.")]
KeyOption = Annotated[
    list[str],
    typer.Option("--key", help="Public key of the log, or a file with such keys, one a line."),
]
WitnessOption = Annotated[
    list[str] | None,
    typer.Option("--witness", help="Public key of a witness, or a file with such keys."),
]
AuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--tsa",
        help="PEM file: certificates of time-stamping authorities whose stamps must hold.",
        exists=True,
        dir_okay=False,
    ),
]
KnownOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="A checkpoint, a proof or an export that you kept: has history changed since?",
        exists=True,
        dir_okay=False,
    ),
]


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="audit", help="What happened, and the proof of it.")


@commands.command()
def events(
    *,
    since: Annotated[datetime | None, typer.Option(help="UTC; counts in.")] = None,
    until: Annotated[datetime | None, typer.Option(help="UTC; does not count in.")] = None,
    kind: Annotated[str | None, typer.Option(help="Such as file.downloaded.")] = None,
    outcome: Annotated[str | None, typer.Option(help="succeeded, refused or failed.")] = None,
    person: Annotated[str | None, typer.Option(help="Id of a person.")] = None,
    account: Annotated[str | None, typer.Option(help="Id of a service account.")] = None,
    file_id: FileOption = None,
    collection: Annotated[str | None, typer.Option()] = None,
    element: Annotated[str | None, typer.Option(help="Id of a storage element.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List events that fulfil every condition given, newest first."""
    from artstore.cli.values import utc
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        found = store.audit.events(
            since=utc(since),
            until=utc(until),
            limit=limit,
            kind=kind,
            outcome=outcome,
            person=person,
            account=account,
            file_id=file_id,
            collection=collection,
            element_id=element,
        )
        _print_events(found, as_json=as_json)


@commands.command()
def timeline(
    file_id: Annotated[str, typer.Argument(help="As put, ls or search print it.")],
    as_json: JsonOption = False,
) -> None:
    """Print everything that happened to one file, oldest first."""
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        _print_events(store.audit.timeline(file_id), as_json=as_json)


@commands.command()
def keys(as_json: JsonOption = False) -> None:
    """Print the public keys of the log and its witnesses, to be published and compared."""
    from artstore.cli.output import print_json, print_line
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        found = store.audit.keys()
    if as_json:
        print_json(found.model_dump())
        return
    for name, values in (("log", found.log_keys), ("witness", found.witness_keys)):
        for key in values:
            print_line(f"{name:<8} {key}")


@commands.command()
def checkpoint(
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="The newest that witnesses have confirmed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the newest signed state of the log. Keep it: it shows later what was true today."""
    from artstore.cli.audit_verify import state_fields
    from artstore.cli.output import print_json
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        note = store.audit.checkpoint(confirmed=confirmed)
    if as_json:
        print_json(state_fields(note))
    else:
        typer.echo(note, nl=False)


@commands.command()
def export(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A new file.", dir_okay=False, writable=True)
    ],
    first: Annotated[int, typer.Option(min=0, help="Number of the first record.")] = 0,
    end: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the log, or a part of it, into a file that anybody can check offline."""
    from artstore.cli.audit_export import export_to

    export_to(output, first, end, as_json=as_json)


@commands.command()
def verify(
    export: Annotated[
        Path,
        typer.Argument(help="What `artstore audit export` wrote.", exists=True, dir_okay=False),
    ],
    *,
    key: KeyOption,
    witness: WitnessOption = None,
    quorum: Annotated[
        int | None, typer.Option(min=0, help="Witnesses that must agree; default: all given.")
    ] = None,
    known: KnownOption = None,
    tsa: AuthorityOption = None,
    part: Annotated[bool, typer.Option("--part", help="Accept a part of the log.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check an export: is it whole, and is every record what was logged?

    Needs no ArtStore that runs, no network and no profile. The keys must come from where the
    archive and its witnesses publish them, not from whoever gave you the export.
    Exit code 0 when all is true, 1 when it is not.
    """
    from artstore.cli.audit_verify import authorities_of, policy_of, verify_file

    trusted = policy_of(key, witness or [], quorum)
    authorities = authorities_of(tsa)
    if not verify_file(
        export, trusted, known or [], authorities=authorities, part=part, as_json=as_json
    ):
        raise typer.Exit(1)


@commands.command("rotate-keys")
def rotate_keys(yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Let the log sign with new keys. Publish them; keep the old ones, for what they signed."""
    from artstore.cli.output import print_json, say
    from artstore.cli.values import confirm
    from artstore.client.store import ArtStore

    confirm("let the audit log sign with new keys", yes)
    with ArtStore.from_home() as store:
        retired = store.audit.rotate_keys()
    if as_json:
        print_json({"retired": retired})
    else:
        say(f"{len(retired)} keys were retired; see: artstore audit keys")


@commands.command()
def erase(
    *,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    person: Annotated[str | None, typer.Option(help="Id of a person.")] = None,
    account: Annotated[str | None, typer.Option(help="Id of a service account.")] = None,
    file_id: FileOption = None,
    until: Annotated[datetime | None, typer.Option(help="UTC; later events keep theirs.")] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="Such as client_address; default: all facts.")
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy personal facts for good. Events stay, and every proof of them holds."""
    from artstore.cli.output import print_json, say
    from artstore.cli.values import confirm, utc
    from artstore.client.store import ArtStore

    if not (person or account or file_id):
        raise typer.BadParameter("say whose facts: --person, --account or --file")
    whose = " and ".join(filter(None, (person, account, file_id)))
    confirm(f"destroy personal facts in events of {whose}", yes)
    with ArtStore.from_home() as store:
        events = store.audit.erase(
            reason=reason,
            person=person,
            account=account,
            file_id=file_id,
            until=utc(until),
            fields=field or (),
        )
    if as_json:
        print_json({"events": events})
    else:
        say(f"{events} events lost personal facts")


def _print_events(found: "Iterable[LoggedEvent]", *, as_json: bool) -> None:
    from artstore.cli.output import print_json, print_line

    for item in found:
        if as_json:
            print_json(item.model_dump(mode="json"))
        else:
            print_line(_event_text(item.index, item.event, item.model_dump()["personal"]))


def _event_text(index: int, event: dict[str, Any], personal: dict[str, Any]) -> str:
    name = personal.get("actor_name", {}).get("value")
    actor = event["actor"]
    who = name or actor["person"] or actor["account"] or "-"
    target = event["target"] or {}
    what = event["file_id"] or target.get("id") or event["element_id"] or ""
    outcome = event["problem"] or event["outcome"]
    at = event["at"][:19].replace("T", " ")
    return f"{index:>9}  {at}  {event['kind']:<28} {outcome:<21} {who}  {what}".rstrip()
