"""The programs of the embedded stack, in the order in which people see them."""

import asyncio
import os
import signal
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from artstore.local import clamd, edge, postgres, probes, valkey
from artstore.local.account import launched
from artstore.local.layout import EDGE, Layout
from artstore.local.modules import ELEMENTS, Module, base_environment, module_environment
from artstore.local.program import Program
from artstore.local.secret_files import (
    DATABASE_ADMIN,
    DATABASE_QUERY,
    KEY_ENCRYPTION_KEY,
    VALKEY,
    VALKEY_READER,
)

POSTGRES: Final = "postgres"
VALKEY_NAME: Final = "valkey"
CLAMD_NAME: Final = "clamd"
ADMIN_NAME: Final = "admin-1"
WITNESS_NAME: Final = "witness"
DATABASES, STORAGE, ADMIN, GATEWAYS, DOOR = range(5)
"""Stages in the order of need."""
MODULE_GRACE_S: Final = 25.0
"""A little more than a module gives its running requests."""
READY: Final = 200
EDGE_RUNTIME: Final = {
    # Its heap is small: by Go's own measure it would be collected after every few requests.
    "GOGC": "200",
    # It shares the machine with all it leads to; more threads than this look for work at each
    # other's expense: a fifth of what a small upload costs the edge.
    "GOMAXPROCS": str(max(1, len(os.sched_getaffinity(0)) // 2)),
}


def stack_programs(layout: Layout) -> list[Program]:
    context = probes.trusting(layout.certificates.authority_file)
    return [
        _postgres(layout),
        _valkey(layout),
        *(_module(layout, module, context) for module in layout.modules.values()),
        *_witness(layout),
        *_clamd(layout),
        _edge(layout, context),
    ]


def _postgres(layout: Layout) -> Program:
    server = layout.postgres

    def before() -> None:
        server.initialise(layout.superuser.password)
        server.forget_dead_server()

    def provision() -> None:
        postgres.provision(server, layout.superuser, layout.database_owner, layout.database_reader)

    async def is_ready(pid: int) -> bool:
        return server.is_ready(pid)

    return Program(
        name=POSTGRES,
        command=server.command(),
        is_ready=is_ready,
        environment=base_environment(),
        stage=DATABASES,
        socket=server.socket,
        stop_signal=postgres.STOP,
        before=_in_thread(before),
        when_ready=_in_thread(provision),
    )


def _valkey(layout: Layout) -> Program:
    server = layout.valkey

    async def is_ready(_: int) -> bool:
        return await asyncio.to_thread(server.is_ready, layout.secrets.read(VALKEY))

    return Program(
        name=VALKEY_NAME,
        command=server.command(),
        is_ready=is_ready,
        environment=base_environment(),
        stage=DATABASES,
        socket=server.socket,
        stop_signal=valkey.STOP,
    )


def _clamd(layout: Layout) -> Iterator[Program]:
    """Nothing waits for it: files that come before it is ready are marked, and scanned later."""
    server = layout.clamd
    if server is None:
        return

    async def is_ready(_: int) -> bool:
        return await asyncio.to_thread(server.is_ready)

    yield Program(
        name=CLAMD_NAME,
        command=server.command(),
        is_ready=is_ready,
        environment=base_environment(),
        stage=DATABASES,
        socket=server.socket,
        stop_signal=clamd.STOP,
    )


def _module(layout: Layout, module: Module, context: ssl.SSLContext) -> Program:
    async def is_ready(_: int) -> bool:
        return await probes.http_status(module.port, "/health/ready", context) == READY

    needs = {"admin": frozenset({POSTGRES, VALKEY_NAME})}
    # Migrations and the first accounts, before admin serves and so before anyone else can
    # become ready. A process of its own for this would double the time of a start.
    arguments = {"admin": ("serve", "--plan", str(layout.home.config / "plan.json"))}
    relies_on = {
        "ingester": frozenset({ADMIN_NAME, *ELEMENTS}),
        "query": frozenset({ADMIN_NAME}),
    }
    return Program(
        name=module.instance,
        command=launched(
            module.command(*arguments.get(module.module, ())), parent_death=signal.SIGKILL
        ),
        is_ready=is_ready,
        environment=_environment(layout, module),
        after=needs.get(module.module, frozenset()),
        relies_on=relies_on.get(module.module, frozenset()),
        stage={"storage": STORAGE, "admin": ADMIN}.get(module.module, GATEWAYS),
        port=module.port,
        stop_grace_s=MODULE_GRACE_S,
    )


def _witness(layout: Layout) -> Iterator[Program]:
    witness = layout.witness
    if witness is None:
        return

    async def is_ready(_: int) -> bool:
        return await probes.http_status(witness.port, "/health/ready", None) == READY

    async def before() -> None:
        await witness.meet_the_log(layout.postgres.url(layout.superuser))

    yield Program(
        name=WITNESS_NAME,
        command=launched(witness.command(), parent_death=signal.SIGKILL),
        is_ready=is_ready,
        environment=base_environment(),
        after=frozenset({ADMIN_NAME}),
        stage=ADMIN,
        port=witness.port,
        before=before,
    )


def _edge(layout: Layout, context: ssl.SSLContext) -> Program:
    async def is_ready(_: int) -> bool:
        return await probes.http_status(layout.ports.edge, "/", context) is not None

    # Caddy would otherwise look for its folders in the caller's home.
    folders = {"HOME": str(layout.edge.data), "XDG_DATA_HOME": str(layout.edge.data)}
    return Program(
        name=EDGE.instance.removesuffix("-1"),
        command=layout.edge.command(),
        is_ready=is_ready,
        environment={**base_environment(), **EDGE_RUNTIME, **folders, **layout.edge.tracing},
        stage=DOOR,
        port=layout.ports.edge,
        stop_signal=edge.STOP,
    )


def _environment(layout: Layout, module: Module) -> dict[str, str]:
    files = layout.certificates.files(module.instance)
    spool = {"audit_spool_folder": layout.home.data / "audit-spool" / module.instance}
    return module_environment(module, files, spool | _scanner(layout) | _settings(layout, module))


def _scanner(layout: Layout) -> dict[str, object]:
    return {} if layout.clamd is None else {"antivirus_address": layout.clamd.address}


def _archive(layout: Layout, module: Module) -> dict[str, object]:
    """Made, or mounted, by whoever wants one."""
    directory = layout.home.archives / module.instance
    return {"archive_directory": directory} if directory.is_dir() else {}


def _settings(layout: Layout, module: Module) -> dict[str, object]:
    match module.module:
        case "storage":
            return {
                "element_id": module.instance,
                "root": layout.home.data / module.instance,
                "mode": ELEMENTS[module.instance],
                "admin_url": layout.modules[ADMIN_NAME].url,
                **_archive(layout, module),
            }
        case "admin":
            return {
                "database_url": layout.postgres.url_without_password(postgres.OWNER_ROLE),
                "database_password_file": layout.secrets.file(DATABASE_ADMIN),
                "valkey_url": layout.valkey.url,
                "valkey_username": valkey.USERNAME,
                "valkey_password_file": layout.secrets.file(VALKEY),
                "key_encryption_key_file": layout.secrets.file(KEY_ENCRYPTION_KEY),
                "issuer": layout.edge_url,
                "audit_folder": layout.home.data / "audit",
                **_own_witness(layout),
            }
        case "query":
            return {
                "database_url": layout.postgres.url_without_password(postgres.QUERY_ROLE),
                "database_password_file": layout.secrets.file(DATABASE_QUERY),
                **_callers_of_admin(layout),
            }
        case _:
            return _callers_of_admin(layout)


def _own_witness(layout: Layout) -> dict[str, object]:
    if layout.witness is None:
        return {}
    return {"audit_witnesses_file": layout.witnesses_file, "audit_witness_quorum": 1}


def _callers_of_admin(layout: Layout) -> dict[str, object]:
    return {
        "admin_url": layout.modules[ADMIN_NAME].url,
        "issuer": layout.edge_url,
        "valkey_url": layout.valkey.url,
        "valkey_username": valkey.READER,
        "valkey_password_file": layout.secrets.file(VALKEY_READER),
    }


def _in_thread(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.to_thread(work)

    return run
