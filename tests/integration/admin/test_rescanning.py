"""Stored files are scanned again: by a real element with a real clamd, ordered by a real admin."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
from tests.integration.admin.test_copies import shelf  # noqa: F401  a fixture
from tests.support.clamd import EICAR, Clamd
from tests.support.element_shelf import Element, Shelf
from tests.support.places import in_place
from tests.support.processes import wait_until

AWAY = {
    "engine": "ClamAV",
    "verdict": "unscanned",
    "at": datetime.now(UTC).isoformat(),
    "reason": "scanner_away",
    "quarantined": True,
}
LARGE = bytes(range(256)) * 8192


def scan_of(element: Element, file_id: str) -> dict[str, Any]:
    attr = in_place(element.data / "data", file_id)
    scan: dict[str, Any] = json.loads(attr.read_text())["scan"]
    return scan


def look_now(shelf: Shelf) -> None:  # noqa: F811
    """Do not wait for the next look of the job."""
    with psycopg.connect(shelf.admin.installation.database.url) as db:
        db.execute(
            "UPDATE jobs.jobs SET run_after = now() WHERE kind = 'scans.files' AND state = 'queued'"
        )


def walked_with_older_signatures(shelf: Shelf) -> bool:  # noqa: F811
    """Once it has walked. clamd tells no version of signatures of our own, so what the last walk
    noted of them is changed instead."""
    with psycopg.connect(shelf.admin.installation.database.url) as db:
        changed = db.execute(
            "UPDATE jobs.jobs SET progress = %s WHERE kind = 'scans.files' AND state = 'queued'"
            " AND progress ->> 'engine' IS NOT NULL",
            (json.dumps({"engine": "ClamAV 1.0.0/1"}),),
        )
        return changed.rowcount == 1


def found(shelf: Shelf, element: Element, file_id: str, verdict: str) -> None:  # noqa: F811
    def is_there() -> bool:
        look_now(shelf)
        return bool(scan_of(element, file_id)["verdict"] == verdict)

    wait_until(is_there, f"{verdict} in the record")


def test_files_are_scanned_later_and_again(shelf: Shelf, clamd: Clamd) -> None:  # noqa: F811
    element = shelf.start("scan-a", ANTIVIRUS_ADDRESS=clamd.address)
    clean = shelf.upload(element, b"clean", scan=AWAY)
    large = shelf.upload(element, LARGE, scan=AWAY)
    infected = shelf.upload(element, LARGE + EICAR, scan=AWAY)
    scanned = {**AWAY, "verdict": "clean", "reason": None, "quarantined": False}
    missed = shelf.upload(element, b"x" + EICAR, scan=scanned)
    never = shelf.upload(element, b"y" + EICAR)

    for file_id in (clean, large):
        found(shelf, element, file_id, "clean")
        assert scan_of(element, file_id)["quarantined"] is False
    found(shelf, element, infected, "infected")
    assert scan_of(element, infected)["quarantined"] is True
    assert "ArtStore.Test.Eicar" in scan_of(element, infected)["reason"]

    # New signatures find what the former ones did not know.
    wait_until(lambda: walked_with_older_signatures(shelf), "the first walk")
    found(shelf, element, missed, "infected")
    assert scan_of(element, missed)["quarantined"] is True
    assert scan_of(element, missed)["engine"].startswith("ClamAV ")

    attr = in_place(element.data / "data", never)
    assert json.loads(attr.read_text())["scan"] is None, "it was not to be scanned"
    row = shelf.query("SELECT scan FROM catalogue.files WHERE file_id = %s", missed)
    wait_until(lambda: row != [] and _scan(shelf, missed) == "infected", "the catalogue")


def _scan(shelf: Shelf, file_id: str) -> str | None:  # noqa: F811
    (row,) = shelf.query("SELECT scan FROM catalogue.files WHERE file_id = %s", file_id)
    scan: str | None = row["scan"]
    return scan


def test_only_the_admin_module_orders_scans(shelf: Shelf, clamd: Clamd) -> None:  # noqa: F811
    element = shelf.start("scan-b", ANTIVIRUS_ADDRESS=clamd.address)
    url = f"{element.process.url}/api/v1/scanner"
    assert shelf.ingester.get(url).status_code == 403
