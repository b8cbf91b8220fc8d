"""`artstore elements`: where the bytes lie."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from artstore.cli.options import JsonOption, YesOption

if TYPE_CHECKING:
    from artstore.client.store import ArtStore

ELEMENTS = "/api/v1/storage-elements"

ElementArgument = Annotated[str, typer.Argument(help="Id of the element.")]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait for the end and show how far it is.")
]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="elements", help="The storage elements.")


@commands.callback()
def _group() -> None:
    """The storage elements."""


@commands.command("list")
def list_elements(as_json: JsonOption = False) -> None:
    """List the storage elements: mode, room, health, drain."""
    from artstore.cli.element_words import COLUMNS, summary
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        elements = store.items(f"{ELEMENTS}:status")
        if as_json:
            for element in elements:
                print_json(element)
        else:
            print_table([summary(element) for element in elements], COLUMNS)


@commands.command()
def mode(
    element_id: ElementArgument,
    new_mode: Annotated[str, typer.Argument(metavar="MODE", help="rw, ro or ar.")],
    reason: Annotated[str, typer.Option(help="Why. It stays in the element's log.")],
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change what an element allows: rw -> ro -> ar, or ro back to rw."""
    from artstore.client.store import ArtStore
    from artstore.core.errors import ConfirmationRequired

    body = {"mode": new_mode, "reason": reason, "confirm": yes}
    with ArtStore.from_home() as store:
        try:
            info = store.call("POST", f"{_path(element_id)}/mode", body=body)
        except ConfirmationRequired as meaning:
            _confirm_meaning(meaning.detail, f"make {element_id} {new_mode}")
            info = store.call("POST", f"{_path(element_id)}/mode", body={**body, "confirm": True})
    _show(info, f"{element_id} is {info['mode']} now", as_json=as_json)


@commands.command()
def scrub(
    element_id: ElementArgument,
    action: Annotated[
        str, typer.Option(help="start, pause, resume, or status to look only.")
    ] = "start",
    rate: Annotated[int | None, typer.Option(help="Bytes a second, at most.")] = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read every byte of an element and compare it with what was stored."""
    from artstore.cli.element_words import scrub_words
    from artstore.client.store import ArtStore

    path = f"{_path(element_id)}/scrub"
    with ArtStore.from_home() as store:
        if action == "status":
            status = store.call("GET", path)
        else:
            body = {"action": action, "rate_bytes_per_s": rate}
            status = store.call("POST", path, body=body)
        if wait:
            status = _wait_for_scrub(store, element_id, path)
    _show(status, scrub_words(element_id, status), as_json=as_json)


@commands.command()
def drain(
    element_id: ElementArgument,
    off: Annotated[bool, typer.Option("--off", help="Let it take new files again.")] = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy all files of an element to others, so that it may be taken off."""
    from artstore.cli.element_words import drain_words
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        store.call("POST", f"{_path(element_id)}/drain", body={"on": not off})
        if wait and not off:
            _wait_for_drain(store, element_id)
        element = store.call("GET", _path(element_id))
    _show(element, drain_words(element), as_json=as_json)


@commands.command()
def remove(element_id: ElementArgument, yes: YesOption = False) -> None:
    """Take a drained element out of the registry. What is on its disk stays there."""
    from artstore.cli.output import say
    from artstore.cli.values import confirm
    from artstore.client.store import ArtStore

    confirm(f"remove {element_id} from the registry", yes)
    with ArtStore.from_home() as store:
        store.call("DELETE", _path(element_id))
    say(f"{element_id} is removed. Its disk was not touched; stop its process and take it off.")


def _path(element_id: str) -> str:
    return f"{ELEMENTS}/{quote(element_id, safe='')}"


def _confirm_meaning(meaning: str, action: str) -> None:
    from artstore.cli.output import say
    from artstore.cli.values import confirm

    say(meaning)
    confirm(action, yes=False)


def _wait_for_scrub(store: "ArtStore", element_id: str, path: str) -> dict[str, Any]:
    from artstore.cli.element_words import scrub_standing
    from artstore.cli.waiting import wait_for

    wait_for(f"scrubbing {element_id}", lambda: scrub_standing(store.call("GET", path)))
    status: dict[str, Any] = store.call("GET", path)
    return status


def _wait_for_drain(store: "ArtStore", element_id: str) -> None:
    from artstore.cli.element_words import DrainStanding
    from artstore.cli.waiting import wait_for

    standing = DrainStanding()
    wait_for(f"draining {element_id}", lambda: standing.of(store.call("GET", _path(element_id))))


def _show(value: dict[str, Any], words: str, *, as_json: bool) -> None:
    from artstore.cli.output import print_json, say

    if as_json:
        print_json(value)
    else:
        say(words)
