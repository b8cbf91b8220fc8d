"""Rotates one credential and is killed at a step: `python -m tests.support.rotation_worker STEP`,
with what to rotate as JSON on its standard input."""

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from artstore.core.clock import SystemClock
from artstore.core.secrets.chain import Login
from artstore.rotation.postgresql import PostgresLogin
from artstore.rotation.procedure import Credential, Rotation
from artstore.rotation.store import FolderStore
from artstore.rotation.valkey import ValkeyUser


def credential_of(order: dict[str, Any]) -> Credential:
    store = FolderStore(Path(order["secrets"]))
    store.seen_after_s = order.get("seen_after_s", store.seen_after_s)
    keeper = Login(order["keeper"], order["keeper_password"])
    if order["kind"] == "valkey":
        return ValkeyUser("user", order["username"], order["url"], lambda: keeper, store)
    roles = (order["username"], f"{order['username']}_2")
    return PostgresLogin("login", roles, order["url"], lambda: keeper, store)


def rotation_in(folder: Path, told: list[str], dies_at: str | None = None) -> Rotation:
    def on_step(_name: str, step: str) -> None:
        if step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return Rotation(
        folder,
        SystemClock(),
        lambda credential, _at: told.append(credential.name),
        drain_max=timedelta(seconds=30),
        on_step=on_step,
    )


if __name__ == "__main__":
    given = json.loads(sys.stdin.read())
    rotation_in(Path(given["state"]), [], sys.argv[1]).rotate(credential_of(given))
