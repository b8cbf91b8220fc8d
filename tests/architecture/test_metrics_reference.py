"""`docs/reference/metrics.md` lists every metric as the registry has it.

Write it anew: `python -m tests.architecture.test_metrics_reference`.
"""

from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from artstore.core import metrics

FILE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
HEAD = """# Metrics

What `/metrics` of the modules shows, beside what every Python process says of itself (`process_*`).
Names end in their unit, times are seconds, sizes bytes. A counter's series ends in `_total`; a
histogram's in `_bucket`, `_sum` and `_count`. A module shows the series that it uses.

| metric | type | labels | meaning |
|---|---|---|---|
"""
TYPES = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def declared() -> list[MetricWrapperBase]:
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    return sorted(found, key=lambda metric: metric._name)


def line(metric: MetricWrapperBase) -> str:
    suffix = "_total" if isinstance(metric, Counter) else ""
    labels = ", ".join(metric._labelnames) or "-"
    name, meaning = f"`{metric._name}{suffix}`", metric._documentation
    return f"| {name} | {TYPES[type(metric)]} | {labels} | {meaning} |\n"


def rendered() -> str:
    return HEAD + "".join(map(line, declared()))


def test_the_reference_is_complete() -> None:
    assert len(declared()) > 25
    assert FILE.read_text("utf-8") == rendered()


def test_names_follow_the_rules() -> None:
    for metric in declared():
        name = metric._name
        assert name.startswith(("artstore_", "http_request")), name
        assert metric._documentation.endswith("."), name


def test_each_metric_is_used() -> None:
    source = Path(metrics.__file__).parents[1]
    code = "\n".join(
        file.read_text("utf-8") for file in source.rglob("*.py") if file != Path(metrics.__file__)
    )

    unused = [
        name
        for name, value in vars(metrics).items()
        if isinstance(value, MetricWrapperBase) and name not in code
    ]

    assert unused == []


if __name__ == "__main__":
    FILE.write_text(rendered(), "utf-8")
