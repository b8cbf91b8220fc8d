"""A real Prometheus and AlertManager watch a real stack (S24).

Goal: no panel and no rule that never shows anything, and an alert that reaches somebody.
Method: `artstore monitor up` beside the running stack, some traffic of every kind, then each
expression is asked for; last, a storage element is stopped until its alert has arrived.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.monitoring import Monitoring, eventually, needs_prometheus
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.core.errors import ArtStoreError

ROOT = Path(__file__).parents[2] / "monitoring"

pytestmark = [pytest.mark.slow, needs_prometheus]


@pytest.fixture(scope="module")
def store(stack: RunningStack) -> Iterator[ArtStore]:
    with ArtStore.from_home(stack.home) as store:
        yield store


def test_every_target_is_up(monitoring: Monitoring) -> None:
    eventually(lambda: len(monitoring.query("up == 1")) == 8, "all targets being up")

    assert monitoring.query("up == 0") == []


def test_every_panel_and_every_rule_shows_something(
    monitoring: Monitoring, store: ArtStore, tmp_path: Path
) -> None:
    def silent() -> list[str]:
        make_traffic(store, tmp_path)
        return [each for each in expressions() if not monitoring.has_numbers(each)]

    eventually(lambda: silent() == [], lambda: f"numbers in {silent()}", limit_s=150)


def test_the_check_of_expressions_can_fail(monitoring: Monitoring) -> None:
    assert not monitoring.has_numbers("artstore_no_such_metric")
    assert len(list(expressions())) > 40


def test_the_watchdog_reaches_its_receiver(monitoring: Monitoring) -> None:
    assert monitoring.wait_for("Watchdog", limit_s=90)["path"] == "/watchdog"


def test_an_element_that_is_gone_reaches_a_person(
    stack: RunningStack, monitoring: Monitoring
) -> None:
    pid = stack.process("rw-1").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        # Two minutes by its rule, and what scrape, evaluation and grouping add.
        alert = monitoring.wait_for("ServiceDown", limit_s=240)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert alert["path"] == "/critical"
    assert alert["labels"]["job"] == "storage"
    assert alert["annotations"]["summary"].endswith("is down")
    stack.wait_ready()


def expressions() -> Iterator[str]:
    """Of all panels, of all recorded series, and of what alerts compare."""
    for file in (ROOT / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load((ROOT / "prometheus" / "rules.yml").read_text())["groups"]:
        yield from (rule["record"] for rule in group["rules"])


def make_traffic(store: ArtStore, folder: Path) -> None:
    file = folder / "letter.txt"
    file.write_text("Dear reader")
    stored = store.put(file)
    store.get(stored.file_id, folder / "copy.txt")
    list(store.search("letter", limit=1))
    with pytest.raises(ArtStoreError):
        store.get("01890000-0000-7000-8000-000000000000", folder / "none.txt")
