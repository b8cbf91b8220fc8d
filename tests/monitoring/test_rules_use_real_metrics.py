"""No rule and no panel asks for a metric that no module has."""

import json
import re
from pathlib import Path

import yaml
from prometheus_client.metrics import MetricWrapperBase

from artstore.core import metrics

ROOT = Path(__file__).parents[2] / "monitoring"
TOLD_BY_OPERATORS = frozenset({"artstore_backup_last_success_timestamp"})
"""Read by the node exporter from a file that a backup writes."""


def declared() -> set[str]:
    return {
        value._name.removesuffix("_seconds").removesuffix("_bytes")
        for value in vars(metrics).values()
        if isinstance(value, MetricWrapperBase)
    }


def expressions() -> list[str]:
    found = []
    for file in ("rules.yml", "alerts.yml"):
        for group in yaml.safe_load((ROOT / "prometheus" / file).read_text())["groups"]:
            found += [rule["expr"] for rule in group["rules"]]
    for file in (ROOT / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            found += [target["expr"] for target in panel["targets"]]
    return found


def asked_for(expression: str) -> set[str]:
    names = re.findall(r"\b((?:artstore|http)_[a-z_]+)\b(?!:)", expression)
    return {re.sub(r"(_bytes|_seconds)?(_total|_bucket|_sum|_count)?$", "", name) for name in names}


def test_each_metric_exists() -> None:
    asked = set().union(*map(asked_for, expressions()))

    assert len(asked) > 15
    assert asked - declared() <= TOLD_BY_OPERATORS
    assert asked >= TOLD_BY_OPERATORS
