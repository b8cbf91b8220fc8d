"""Every alert fires when it should, no earlier than its `for`, and is silent otherwise.

promtool evaluates the real rule files on the series of `alert_cases`, and looks at the
`ALERTS` series that they leave.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.monitoring.alert_cases import ALWAYS_FIRING, CASES, Case, Series

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
RULE_FILES = [PROMETHEUS / "rules.yml", PROMETHEUS / "alerts.yml"]
RUNBOOKS = ROOT / "docs" / "operations" / "runbooks"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)"
)


def groups(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text())["groups"]
    return found


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups(RULE_FILES[1]) for rule in group["rules"]}


def test_each_alert_has_a_case_and_each_case_an_alert() -> None:
    assert set(alerts()) == set(CASES) | ALWAYS_FIRING


@pytest.mark.parametrize("name", sorted(CASES))
def test_fires_after_its_time_and_not_before(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    due_min = case.true_from_min + minutes(alerts()[name].get("for", "0m"))
    moments = {due_min: 1}
    if due_min >= case.step_min:
        moments[due_min - case.step_min] = 0

    assert_firing(name, case, case.fires, moments, tmp_path)


@pytest.mark.parametrize("name", sorted(CASES))
def test_is_silent_just_below_its_threshold(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    late_min = case.true_from_min + minutes(alerts()[name].get("for", "0m")) + 10

    assert_firing(name, case, case.silent, {late_min: 0}, tmp_path)


def test_the_check_itself_can_fail(tmp_path: Path) -> None:
    case = CASES["ServiceDown"]
    with pytest.raises(AssertionError, match="ServiceDown"):
        assert_firing("ServiceDown", case, case.silent, {10: 1}, tmp_path)


@pytest.mark.parametrize("name", sorted(set(CASES) | ALWAYS_FIRING))
def test_says_what_is_wrong_and_what_to_do(name: str) -> None:
    rule = alerts()[name]

    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"].endswith(f"/{name}.md")
    assert (RUNBOOKS / f"{name}.md").read_text().startswith(f"# {name}\n")


def test_the_files_are_valid() -> None:
    promtool("check", "rules", *map(str, RULE_FILES))


@pytest.mark.parametrize("name", ["prometheus.yml", "discovery/dns.yml"])
def test_the_configurations_are_valid(name: str, tmp_path: Path) -> None:
    # Not that of Kubernetes: Debian's promtool is built without it.
    copy = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    # A deployment mounts its own; promtool only looks whether they are there.
    for folder in (copy, copy / "discovery"):
        (folder / "tls").mkdir()
        for file in ("ca.pem", "monitoring.pem", "monitoring.key"):
            (folder / "tls" / file).touch()

    promtool("check", "config", "--syntax-only", str(copy / name))


@pytest.mark.parametrize("name", ["dns.yml", "kubernetes.yml"])
def test_discovery_covers_the_same_jobs_in_the_same_way(name: str) -> None:
    deployed = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    found = yaml.safe_load((PROMETHEUS / "discovery" / name).read_text())["scrape_configs"]

    modules = {job["job_name"]: job["tls_config"] for job in deployed if "tls_config" in job}
    assert {job["job_name"]: job["tls_config"] for job in found} == modules


def assert_firing(
    name: str, case: Case, series: Series, expected: dict[int, int], folder: Path
) -> None:
    """`expected`: how many such alerts fire at which minute."""
    step = f"{case.step_min}m"
    test = {
        "rule_files": [str(file) for file in RULE_FILES],
        "evaluation_interval": step,
        # What alerts read is recorded before them, as it is after a moment in a real server.
        "group_eval_order": [group["name"] for file in RULE_FILES for group in groups(file)],
        "tests": [
            {
                "name": name,
                "interval": step,
                "input_series": [
                    {"series": key, "values": values} for key, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
                        " or vector(0)",
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": "{}", "value": count}],
                    }
                    for minute, count in expected.items()
                ],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", str(file))


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def minutes(duration: str) -> int:
    match = re.fullmatch(r"(\d+)([mhd])", duration)
    assert match is not None, duration
    return int(match[1]) * {"m": 1, "h": 60, "d": 1440}[match[2]]
