"""`artstore pki`: the authority of the services' certificates, and what it signs.

On the machine of `artstore up`, or on one that does nothing else.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artstore.cli.options import JsonOption, YesOption

if TYPE_CHECKING:
    from artstore.local.certificate_register import Issued
    from artstore.local.certificate_store import CertificateStore

DAYS_MAX = 398
AUTHORITY_DAYS_MAX = 7300
MODULES = ("admin", "edge", "ingester", "monitoring", "operator", "query", "storage")
REASONS = ("unspecified", "key_compromise", "superseded", "cessation_of_operation")

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Of the authority; otherwise pki/ of $ARTSTORE_HOME or .artstore.",
        metavar="DIR",
    ),
]
commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
replacing = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(replacing, name="replace", help="Replace the authority, in three steps.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="pki", help="Certificates of services: issue, renew, revoke.")


@commands.command()
def init(
    folder: FolderOption = None,
    days: Annotated[int, typer.Option(min=1, max=AUTHORITY_DAYS_MAX)] = 3650,
    as_json: JsonOption = False,
) -> None:
    """Make an authority. `artstore up` makes its own."""
    with _store(folder) as store:
        made = store.create(_now(), timedelta(days=days)).certificate
        fields = {"file": str(store.authority_file), "ends": _time(made.not_valid_after_utc)}
    _show([fields], ("file", "ends"), as_json=as_json)


@commands.command()
def issue(
    module: Annotated[str, typer.Argument(help=f"One of {', '.join(MODULES)}.")],
    instance: Annotated[str, typer.Argument(help="Name of the process: rw-2.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to fill.", metavar="DIR")],
    dns: Annotated[list[str] | None, typer.Option(help="A further DNS name; may repeat.")] = None,
    ip: Annotated[list[str] | None, typer.Option(help="An address; may repeat.")] = None,
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX)] = 7,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill a folder for a process on another machine: tls.crt, tls.key, ca.crt, crl.pem."""
    from artstore.core.tls import PeerIdentity, identity_of
    from artstore.local.certificate_store import Order
    from artstore.local.pki import Names

    identity = PeerIdentity(module, instance)
    if module not in MODULES:
        raise typer.BadParameter(f"there is no module {module!r}", param_hint="MODULE")
    if identity_of({"subjectAltName": [("URI", identity.uri)]}) is None:
        raise typer.BadParameter("small letters, digits and -, 63 at most", param_hint="INSTANCE")
    names = Names(tuple(dns or ()), tuple(_address(text) for text in ip or ()))
    with _store(folder) as store:
        store.trusted()
        target = out.expanduser().resolve()
        issued = store.issue_into(Order(identity, names, timedelta(days=days), target), _now())
        _show([_row(store, issued, _now())], COLUMNS, as_json=as_json)


@commands.command("list")
def list_certificates(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Show what was issued and has not ended: whom it names, and until when."""
    with _store(folder) as store:
        now = _now()
        rows = [*_authority_rows(store, now)]
        rows += [_row(store, each, now) for each in store.issued() if each.ends > now]
        _show(rows, COLUMNS, as_json=as_json)


@commands.command()
def renew(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Renew whatever has lived two thirds of its life, and the list of revocations.

    `artstore up` does the same by itself.
    """
    from artstore.cli.output import say

    with _store(folder) as store:
        store.trusted()
        renewed = store.renew_due(_now())
    _show(
        [{"module": each.module, "instance": each.instance} for each in renewed],
        ("module", "instance"),
        as_json=as_json,
    )
    if not renewed:
        say("Nothing was due.")


@commands.command()
def revoke(
    name: Annotated[str, typer.Argument(help="An instance, or a serial as list shows it.")],
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")] = "unspecified",
    folder: FolderOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """End certificates before their time. Processes here refuse them within seconds."""
    from cryptography.x509 import ReasonFlags

    from artstore.cli.output import say
    from artstore.cli.values import confirm
    from artstore.local.certificate_store import FOLLOWED

    if reason not in REASONS:
        raise typer.BadParameter(f"one of {', '.join(REASONS)}", param_hint="--reason")
    with _store(folder) as store:
        store.trusted()
        found = store.find(name, _now())
        confirm(f"revoke {name}", yes)
        store.announce(found, _now())
        if store.announced_until() is not None:
            say("Its process here gets another one first ...")
            _put_announced(store)
            time.sleep(FOLLOWED.total_seconds())
        revoked = store.revoke(found, ReasonFlags[reason], _now())
        _show([_row(store, each, _now()) for each in revoked], COLUMNS, as_json=as_json)
        say(f"Other machines need the new {store.crl_file}.")


@commands.command()
def check(
    directory: Annotated[Path, typer.Argument(help="With tls.crt, tls.key, ca.crt.")],
    as_json: JsonOption = False,
) -> None:
    """Look whether a process would get on with these files. For certificates from elsewhere."""
    from cryptography import x509

    from artstore.cli.output import print_json, print_line
    from artstore.local.certificate_inspection import faults, files_in, identity_of

    files = files_in(directory)
    found = list(faults(files, _now()))
    identity = None
    if files.certificate.exists() and not found:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        identity = identity_of(certificate)
    if as_json:
        print_json({"identity": identity.uri if identity else None, "faults": found})
    else:
        for line in found or [f"{identity.uri if identity else directory}: good"]:
            print_line(line)
    if found:
        raise typer.Exit(1)


@replacing.command()
def begin(folder: FolderOption = None) -> None:
    """Make another authority and let everybody trust it, beside the one that signs."""
    from artstore.local import authority_replacement

    with _store(folder) as store:
        authority_replacement.begin(store, _now())
    _next(f"Bring {store.authority_file} and {store.crl_file} to all other machines", "switch")


@replacing.command()
def switch(folder: FolderOption = None) -> None:
    """Let the other authority sign, and renew every certificate by it."""
    from artstore.local import authority_replacement

    with _store(folder) as store:
        authority_replacement.switch(store, _now())
        _put_announced(store)
    _next("Bring their new certificates to all other machines", "finish")


@replacing.command()
def finish(
    folder: FolderOption = None,
    force: Annotated[bool, typer.Option(help="Leave behind who was not renewed.")] = False,
) -> None:
    """Trust the former authority no more."""
    from artstore.cli.output import say
    from artstore.local import authority_replacement

    with _store(folder) as store:
        authority_replacement.finish(store, _now(), force=force)
    say(f"Done. Bring {store.authority_file} and {store.crl_file} to all other machines.")


COLUMNS = ("kind", "name", "serial", "ends", "state", "folder")


def _row(store: "CertificateStore", issued: "Issued", now: datetime) -> dict[str, Any]:
    from artstore.local.pki import RENEWAL_SHARE, key_id

    state = "good"
    if store.is_revoked(issued.serial):
        state = "revoked"
    elif issued.authority not in map(key_id, store.trusted()):
        state = "distrusted"
    elif now >= issued.begins + issued.life * RENEWAL_SHARE:
        state = "due"
    return {
        "kind": "certificate",
        "name": f"{issued.identity.module}/{issued.identity.instance}",
        "serial": issued.serial_text,
        "begins": _time(issued.begins),
        "ends": _time(issued.ends),
        "state": state,
        "folder": str(issued.folder or store.folder),
    }


def _authority_rows(store: "CertificateStore", now: datetime) -> Iterator[dict[str, Any]]:
    signer = store.trusted() and store.authority(now).certificate
    for each in store.trusted():
        yield {
            "kind": "authority",
            "name": each.subject.rfc4514_string().partition(",")[0].removeprefix("CN="),
            "serial": f"{each.serial_number:x}",
            "begins": _time(each.not_valid_before_utc),
            "ends": _time(each.not_valid_after_utc),
            "state": "signs" if each == signer else "trusted",
            "folder": str(store.folder),
        }
    for crl in store.revocations():
        ends = crl.next_update_utc
        yield {
            "kind": "revocations",
            "name": f"{len(list(crl))} of {crl.issuer.rfc4514_string().partition(',')[0]}",
            "begins": _time(crl.last_update_utc),
            "ends": _time(ends) if ends else None,
            "state": "good" if ends and now < ends else "ended",
            "folder": str(store.folder),
        }


def _put_announced(store: "CertificateStore") -> None:
    """Once the edge has heard of it."""
    if (until := store.announced_until()) is not None:
        time.sleep(max(0.0, (until - _now()).total_seconds()))
        store.put_announced(_now())


@contextmanager
def _store(folder: Path | None) -> Iterator["CertificateStore"]:
    from artstore.cli.stack import failures_told
    from artstore.local.certificate_store import CertificateStore
    from artstore.local.home import find_home

    with failures_told():
        yield CertificateStore(folder.expanduser().resolve() if folder else find_home(None).pki)


def _show(rows: list[Any], columns: tuple[str, ...], *, as_json: bool) -> None:
    from artstore.cli.output import print_json, print_table

    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(rows, columns)


def _next(task: str, step: str) -> None:
    from artstore.cli.output import say

    say(
        f"Processes of this machine follow within seconds. {task}; then: "
        f"artstore pki replace {step}"
    )


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no address", param_hint="--ip") from None


def _now() -> datetime:
    from artstore.core.clock import SystemClock

    return SystemClock().now()


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
