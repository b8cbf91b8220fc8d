"""Whom grants restrict: what lies in other collections does not exist for them, anywhere."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

FILES = "/api/v1/files"


@pytest.fixture(scope="module")
def account(http: httpx2.Client) -> dict[str, Any]:
    """May read and write in `mine`, read in `shared`, and nothing else."""
    body = {"client_id": f"held-{secrets.token_hex(4)}", "role": "admin"}
    made = http.post("/api/v1/service-accounts", json=body).json()
    for collection, rights in (("mine", ["read", "write"]), ("shared", ["read"])):
        path = f"/api/v1/grants/account:{made['account_id']}/{collection}"
        assert http.put(path, json={"rights": rights}).status_code == 200
    return dict(made)


@pytest.fixture(scope="module")
def held(
    stack: RunningStack, stranger: httpx2.Client, account: dict[str, Any]
) -> Iterator[httpx2.Client]:
    answer = stranger.post(
        "/api/v1/auth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": account["client_id"],
            "client_secret": account["client_secret"],
        },
    )
    import ssl

    with httpx2.Client(
        base_url=stack.edge_url,
        verify=ssl.create_default_context(cafile=stack.ca_file),
        headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
        timeout=60,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def files(http: httpx2.Client) -> dict[str, str]:
    """One in each collection, by its name."""
    made = {}
    for collection in ("mine", "shared", "foreign"):
        parameters = {"filename": f"{collection}-heldword.txt", "collection": collection}
        answer = http.post(FILES, params=parameters, content=collection.encode())
        assert answer.status_code == 201, answer.text
        made[collection] = answer.json()["file_id"]
    wait_until(
        lambda: len(http.get("/api/v1/search?q=heldword").json()["items"]) == 3, "the catalogue"
    )
    return made


@pytest.mark.parametrize("tail", ["", "/content"])
def test_foreign_files_look_like_none(
    held: httpx2.Client, files: dict[str, str], tail: str
) -> None:
    assert held.get(f"{FILES}/{files['mine']}{tail}").status_code == 200
    assert held.get(f"{FILES}/{files['shared']}{tail}").status_code == 200
    foreign = held.get(f"{FILES}/{files['foreign']}{tail}")
    unknown = held.get(f"{FILES}/0190a0f0-0000-7000-8000-000000000000{tail}")
    assert foreign.status_code == unknown.status_code == 404
    assert {**foreign.json(), "correlation_id": ""} == {**unknown.json(), "correlation_id": ""}


def test_searches_and_lists_show_only_what_is_granted(
    held: httpx2.Client, files: dict[str, str]
) -> None:
    allowed = {files["mine"], files["shared"]}
    found = held.get("/api/v1/search", params={"q": "heldword"}).json()["items"]
    assert {each["file_id"] for each in found} == allowed
    part = held.get("/api/v1/search", params={"q": "eldwor"}).json()["items"]
    assert {each["file_id"] for each in part} == allowed
    listed = held.get(FILES, params={"limit": 1000}).json()["items"]
    assert {each["file_id"] for each in listed} == allowed
    assert held.get(FILES, params={"collection": "foreign"}).json()["items"] == []


def test_uploads_go_where_writing_is_granted(held: httpx2.Client) -> None:
    statuses = {
        collection: held.post(
            FILES, params={"filename": "x.txt", "collection": collection}, content=b"x"
        ).status_code
        for collection in ("mine", "shared", "foreign", "default")
    }
    assert statuses == {"mine": 201, "shared": 403, "foreign": 403, "default": 403}


def test_changes_and_deletions_need_their_right(held: httpx2.Client, files: dict[str, str]) -> None:
    change = {"tags": ["seen"]}
    patched = {
        name: held.patch(f"{FILES}/{file_id}", json=change).status_code
        for name, file_id in files.items()
    }
    assert patched == {"mine": 200, "shared": 403, "foreign": 404}
    deleted = {
        name: held.delete(f"{FILES}/{file_id}").status_code for name, file_id in files.items()
    }
    assert deleted == {"mine": 403, "shared": 403, "foreign": 404}


def test_a_deleted_foreign_file_looks_like_none(
    held: httpx2.Client, http: httpx2.Client, files: dict[str, str]
) -> None:
    assert http.delete(f"{FILES}/{files['foreign']}").status_code == 200
    assert http.get(f"{FILES}/{files['foreign']}").status_code == 410
    assert held.get(f"{FILES}/{files['foreign']}").status_code == 404


def test_a_withdrawn_grant_ends_what_it_allowed_everywhere(
    held: httpx2.Client, http: httpx2.Client, account: dict[str, Any], files: dict[str, str]
) -> None:
    path = f"/api/v1/grants/account:{account['account_id']}/mine"
    assert http.delete(path).status_code == 204
    for method, where in (("GET", f"{FILES}/{files['mine']}"), ("POST", FILES), ("GET", FILES)):
        wait_until(
            lambda method=method, where=where: held.request(method, where).status_code == 401,
            "the end of the token",
        )
