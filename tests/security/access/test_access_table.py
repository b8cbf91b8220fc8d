"""Goal: who may call what is what `table.yaml` says, for every route, and nobody forgets a row.

Method: the real system; each route as each role, whole and held to one collection, with something
in its own and in a foreign collection behind it; and with each certificate of the installation.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from tests.security.access.requests import ask_of, path_of
from tests.support.access_world import EDGE, HALFWAY, HELD, NOBODY, AccessWorld, an_address, door
from tests.support.module_routes import all_routes
from tests.support.stack import RunningStack

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"
TABLE = yaml.safe_load(Path(__file__).with_name("table.yaml").read_text("utf-8"))
GROUPS: dict[str, list[str]] = TABLE.pop("groups")
CERTIFICATES = {
    "admin": "admin-1",
    "storage": "rw-1",
    "ingester": "ingester-1",
    "query": "query-1",
    "edge": EDGE,
    "operator": "operator",
    "monitoring": "monitoring",
}
LAST = "logout"
"""It takes the session from whoever calls it, so it is called at the end."""
ALLOWED = "allowed"


@dataclass(frozen=True)
class Row:
    module: str
    route: str
    says: dict[str, Any]

    @property
    def roles(self) -> list[str]:
        return GROUPS.get(self.says.get("for", ""), [])

    @property
    def is_open(self) -> bool:
        return self.says.get("for") == "anyone"

    @property
    def services(self) -> list[str]:
        return list(self.says.get("services", []))

    @property
    def held(self) -> str:
        return str(self.says.get("held", "same"))

    def expected(self, who: str, *, foreign: bool) -> str:
        """Of somebody who comes through the edge."""
        if self.is_open:
            return ALLOWED
        if not self.asks_for_a_token:
            return "403"  # For services only: the edge is none of them.
        if who == NOBODY:
            return "401"
        if who == HALFWAY:
            return ALLOWED if self.says.get("halfway") else "403"
        return self._expected_of_role(who, foreign=foreign)

    def _expected_of_role(self, who: str, *, foreign: bool) -> str:
        if who.removesuffix(HELD) not in self.roles:
            return "403"
        if not who.endswith(HELD) or self.held == "same":
            return ALLOWED
        if self.held == "never":
            return "403"
        return str(self.says["foreign"]) if foreign else ALLOWED

    @property
    def asks_for_a_token(self) -> bool:
        return bool(self.says.get("for") or self.says.get("halfway"))

    def expected_of_service(self, module: str) -> str:
        """Without a token."""
        if self.is_open or module in self.services:
            return ALLOWED
        if module != self.says.get("through", module):
            return "403"
        return "401" if self.asks_for_a_token else "403"


ROWS = [Row(module, route, says) for module, rows in TABLE.items() for route, says in rows.items()]


@pytest.fixture(scope="module")
def world(stack: RunningStack) -> AccessWorld:
    made = AccessWorld(stack)
    made.set_up()
    return made


def call(
    client: httpx2.Client, row: Row, world: AccessWorld, collection: str, **headers: str
) -> str:
    ask = ask_of(row.route, collection)
    answer = client.request(
        row.route.split(" ")[0],
        path_of(row.route, world, collection),
        params=ask.params,
        headers=ask.headers | headers,
        **({"json": ask.body} if ask.content is None else {"content": ask.content}),
    )
    return verdict(answer)


def verdict(answer: httpx2.Response) -> str:
    is_problem = answer.content and "problem+json" in answer.headers.get("content-type", "")
    code = answer.json()["code"] if is_problem else ""
    assert answer.status_code < 500 or code == "unavailable", f"{answer.url}: {answer.text}"
    # An answer to HEAD does not say why.
    refused = {(401, "invalid_token"), (404, "unknown_file"), (401, ""), (404, "")}
    if answer.status_code == 403 or (answer.status_code, code) in refused:
        return str(answer.status_code)
    return ALLOWED


def is_of_nothing(row: Row, got: str) -> bool:
    """Of an upload that was never begun; files of both collections are there."""
    return got == "404" and "{upload_id}" in row.route


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    routes = {(module, route) for module, found in all_routes().items() for route in found}
    rows = {(row.module, row.route) for row in ROWS}
    assert routes - rows == set(), "say in tests/security/access/table.yaml who may call them"
    assert rows - routes == set(), "rows of routes that are no more"


def test_the_reference_names_the_routes_of_clients_and_no_others() -> None:
    named = re.findall(
        r"`((?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[^?`]+)`", REFERENCE.read_text()
    )
    reachable = {
        row.route
        for row in ROWS
        if row.module != "storage"
        and row.route.split(" ")[1].startswith(("/api/", "/.well-known/"))
        and row.says.keys() & {"for", "halfway"}
        and "through" not in row.says
    }

    assert set(named) == reachable


def test_a_row_says_nothing_unknown() -> None:
    known = {"for", "held", "foreign", "halfway", "services", "through", "certificate"}
    for row in ROWS:
        assert set(row.says) <= known, row
        assert row.says.get("for", "anyone") in {"anyone", *GROUPS}, row
        assert row.held in {"same", "never", "own"}, row
        assert (row.held == "own") == ("foreign" in row.says), row
        assert set(row.services) <= set(CERTIFICATES), row


@pytest.mark.parametrize("module", CERTIFICATES)
def test_services_may_call_what_the_table_says(
    stack: RunningStack, world: AccessWorld, module: str
) -> None:
    """By their certificate alone."""
    differ = []
    for name in TABLE:
        with door(stack, name, CERTIFICATES[module]) as client:
            for row in ROWS:
                if row.module != name:
                    continue
                got = call(client, row, world, world.own)
                # An element has only some of the files.
                got = ALLOWED if name == "storage" and got == "404" else got
                if got != (wanted := row.expected_of_service(module)):
                    differ.append((name, row.route, got, wanted))
    assert not differ, "\n".join(map(str, differ))


def test_without_a_certificate_only_health_answers(stack: RunningStack, world: AccessWorld) -> None:
    differ = []
    for name in TABLE:
        with door(stack, name, None) as client:
            for row in ROWS:
                if row.module == name:
                    got = call(client, row, world, world.own)
                    if got != (ALLOWED if row.says.get("certificate") == "none" else "403"):
                        differ.append((name, row.route, got))
    assert not differ, "\n".join(map(str, differ))


def test_an_administrator_makes_nobody_mightier_than_themselves(world: AccessWorld) -> None:
    """A service account of the role admin manages people; a person of that role does not."""
    token = world.tokens["person.admin"]
    accounts = "/api/v1/service-accounts"
    with world.admin.client(Authorization=f"Bearer {token}") as client:
        made = client.post(accounts, json={"client_id": f"{world.own}-x", "role": "admin"})
        assert (made.status_code, made.json()["code"]) == (403, "not_permitted")
        user = client.post(accounts, json={"client_id": f"{world.own}-x", "role": "user"})
        assert user.status_code == 201
        path = f"{accounts}/{world.own}-x"
        assert client.patch(path, json={"role": "admin"}).status_code == 403
        cli = f"{accounts}/{world.stack.client_id}"
        assert client.post(f"{cli}/rotate-secret").status_code == 403
        assert client.patch(cli, json={"requests_per_minute": 1}).status_code == 403


def test_an_administrator_restricts_nobody_mightier(world: AccessWorld) -> None:
    """The first grant takes everything else: a super administrator could be disarmed with it."""
    with world.admin.as_account() as root:
        everybody = root.get("/api/v1/users", params={"limit": 1000}).json()["items"]
    above = next(each for each in everybody if each["role"] == "super_admin")
    token = world.tokens["person.admin"]
    path = f"/api/v1/grants/user:{above['user_id']}/{world.own}"
    with world.admin.client(Authorization=f"Bearer {token}") as client:
        assert client.put(path, json={"rights": ["read"]}).status_code == 403
        assert client.delete(path).status_code == 403
    with world.admin.as_account() as root:
        shown = root.get(f"/api/v1/users/{above['user_id']}").json()
    assert shown["restricted"] == above["restricted"]


def test_whoever_is_held_to_a_collection_restricts_nobody_else(world: AccessWorld) -> None:
    """The first grant takes all other collections from its holder."""
    with world.admin.as_account() as root:
        made = root.post(
            "/api/v1/service-accounts", json={"client_id": f"{world.own}-y", "role": "user"}
        ).json()
    token = world.tokens["account.admin held"]
    with world.admin.client(Authorization=f"Bearer {token}") as client:
        path = f"/api/v1/grants/account:{made['account_id']}/{world.own}"
        assert client.put(path, json={"rights": ["read"]}).status_code == 403
    with world.admin.as_account() as root:
        shown = root.get(f"/api/v1/service-accounts/{world.own}-y").json()
    assert shown["restricted"] is False


def test_roles_may_call_what_the_table_says(stack: RunningStack, world: AccessWorld) -> None:
    asked = [row for row in ROWS if row.module != "storage"]
    asked.sort(key=lambda row: LAST in row.route)
    differ = []
    doors = {name: door(stack, name, EDGE) for name in ("admin", "ingester", "query")}
    with doors["admin"] as admin, doors["ingester"] as ingester, doors["query"] as query:
        clients = {"admin": admin, "ingester": ingester, "query": query}
        for row in asked:
            for who, token in world.tokens.items():
                headers = {"X-Forwarded-For": an_address()}
                headers |= {"Authorization": f"Bearer {token}"} if token else {}
                for collection in (world.own, world.foreign)[: 1 + (row.held == "own")]:
                    got = call(clients[row.module], row, world, collection, **headers)
                    got = ALLOWED if is_of_nothing(row, got) else got
                    foreign = collection == world.foreign
                    if got != (wanted := row.expected(who, foreign=foreign)):
                        differ.append((row.route, who, collection, got, wanted))
    assert not differ, "\n".join(map(str, differ))
