"""Who hears of an alert, decided by the real routing tree."""

import shutil
import subprocess
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "monitoring" / "alertmanager" / "alertmanager.yml"

pytestmark = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="needs amtool (Debian: prometheus-alertmanager)"
)


def test_the_configuration_is_valid() -> None:
    done = amtool("check-config", str(CONFIG))

    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=ServiceDown", "severity=critical"], "critical"),
        (["alertname=HighCPUUsage", "severity=warning"], "webhook"),
        (["alertname=Watchdog", "severity=none"], "watchdog"),
        (["alertname=OfSomebodyElse"], "webhook"),
    ],
)
def test_routes(labels: list[str], receiver: str) -> None:
    done = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={CONFIG}",
        f"--verify.receivers={receiver}",
        *labels,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_of_routes_can_fail() -> None:
    labels = ["alertname=ServiceDown", "severity=critical"]

    done = amtool(
        "config", "routes", "test", f"--config.file={CONFIG}", "--verify.receivers=webhook", *labels
    )

    assert done.returncode != 0


def amtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
