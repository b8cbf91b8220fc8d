"""Rotation by a plan, as on machines of one's own, with OpenBao as the place that modules read."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.openbao import OpenBaoServer
from tests.support.postgres import TestDatabase, TestServer
from tests.support.rotation_worker import rotation_in
from typer.testing import CliRunner

from artstore.cli.main import app
from artstore.core.secrets.chain import Login
from artstore.rotation.plan import read_plan
from artstore.rotation.postgresql import make_login
from artstore.rotation.procedure import RotationFailed

NAME = "artstore/planned#database_password"
POLICY = 'path "secret/data/artstore/planned" { capabilities = ["read", "update"] }'


@pytest.fixture
def plan(
    openbao: OpenBaoServer,
    postgres_server: TestServer,
    make_database: Callable[[str], TestDatabase],
    tmp_path: Path,
) -> dict[str, Any]:
    made, superuser = make_database("planned"), postgres_server.superuser
    url = f"postgresql:///{made.name}?host={postgres_server.server.sockets}"
    first = Login("planned", secrets.token_urlsafe(32))
    with psycopg.connect(url, user=superuser.role, password=superuser.password) as connection:
        make_login(connection, first, "planned", {})
        connection.execute("GRANT CONNECT ON DATABASE planned TO planned")
    openbao.put("artstore/planned", {"database_password": first.password, "other": "stays"})
    role = openbao.approle(POLICY)
    return {
        "state": str(tmp_path / "state"),
        "profile": str(tmp_path),
        "store": {
            "openbao": openbao.url,
            "role_id": role.role_id,
            "secret_id_file": str(role.secret_id_file),
            "refresh_s": 0.1,
        },
        "credentials": [
            {
                "kind": "postgresql",
                "name": NAME,
                "roles": ["planned", "planned_2"],
                "url": url,
                "keeper": {
                    "username": superuser.role,
                    "password_file": str(postgres_server.secrets / superuser.role),
                },
            }
        ],
    }


def written(folder: Path, plan: dict[str, Any]) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    return path


def test_a_login_in_openbao_is_replaced(
    openbao: OpenBaoServer, plan: dict[str, Any], tmp_path: Path
) -> None:
    installation = read_plan(written(tmp_path, plan)).installation(leaked=False)
    (credential,) = installation.chosen(["postgresql"])
    told: list[str] = []

    rotation_in(tmp_path / "state", told).rotate(credential)

    answer = openbao.client.secrets.kv.v2.read_secret_version(
        "artstore/planned", raise_on_deleted_version=True
    )
    kept = answer["data"]["data"]
    role, _, password = kept["database_password"].partition("\n")
    assert (role, kept["other"], told) == ("planned_2", "stays", [NAME])
    with psycopg.connect(plan["credentials"][0]["url"], user=role, password=password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("planned",)


def test_what_there_is_can_be_seen_without_changing_it(
    plan: dict[str, Any], tmp_path: Path
) -> None:
    command = ["rotate", "--dry-run", "--json", "--plan", str(written(tmp_path, plan))]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    row = json.loads(shown.output)
    assert (row["name"], row["kind"], row["stands_at"]) == (NAME, "postgresql", None)


def test_a_malformed_plan_is_refused_without_what_stands_in_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"state": 1, "store": {"folder": "/x"}, "password": "hunter22"}')
    with pytest.raises(RotationFailed, match="profile") as refusal:
        read_plan(path)
    assert "hunter22" not in str(refusal.value)
    told = CliRunner().invoke(app, ["rotate", "--plan", str(path)])
    assert told.exit_code == 1


def test_an_unknown_kind_is_refused_by_name(plan: dict[str, Any], tmp_path: Path) -> None:
    command = ["rotate", "webhooks", "--plan", str(written(tmp_path, plan))]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1
    assert "there is no 'webhooks' here, but" in told.output
