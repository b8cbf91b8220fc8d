"""Drop the catalogue, rebuild it from the elements, and nothing differs."""

from typing import Any

import httpx2
import psycopg
import pytest
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

# Everything but the counter of rebuilds.
ROWS = "SELECT to_jsonb(f) - 'generation' FROM catalogue.files f ORDER BY file_id"


def rows(stack: RunningStack) -> list[Any]:
    with psycopg.connect(stack.superuser_url) as connection:
        return [row[0] for row in connection.execute(ROWS)]


def is_quiet(http: httpx2.Client) -> bool:
    """Nothing is being rebuilt and every element's feed is followed to its head."""
    state = http.get("/api/v1/catalogue").raise_for_status().json()
    return all(
        element["state"] == "following" and element["position_seq"] == element["head_seq"]
        for element in state["elements"]
    )


def test_a_dropped_catalogue_comes_back_the_same(stack: RunningStack, http: httpx2.Client) -> None:
    for number in range(30):
        retention = "P1Y" if number % 3 == 0 else "none"
        stored = http.post(
            "/api/v1/files",
            params={
                "filename": f"файл\0{number}.txt",
                "tag": ["a", f"n{number}"],
                "metadata": '{"x": {"y": [1, 2.50, null, "\\u0000"]}}',
                "retention": retention,
            },
            content=f"content {number}".encode(),
        )
        assert stored.status_code == 201, stored.text
        if number % 5 == 1:
            http.delete(f"/api/v1/files/{stored.json()['file_id']}")
    wait_until(lambda: is_quiet(http), "the catalogue catching up")
    before = rows(stack)
    assert len(before) >= 30

    with psycopg.connect(stack.superuser_url) as connection:
        connection.execute("TRUNCATE catalogue.files")
    assert rows(stack) == []
    answer = http.post("/api/v1/catalogue/rebuild", json={"from_scratch": True})
    assert answer.status_code in {200, 202}, answer.text

    wait_until(lambda: is_quiet(http) and len(rows(stack)) >= len(before), "the rebuild ending")
    assert rows(stack) == before
