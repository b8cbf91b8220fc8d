"""What CI prints about a test that it ran twice: `.ci/run` does so, and the first reason counts."""

import subprocess
import sys
from pathlib import Path

FLAKY = """
attempts = []

def test_late():
    attempts.append(1)
    assert len(attempts) > 1, "the reason of the first attempt"

def test_never():
    attempts.append(1)
    assert attempts == [], f"reason {len(attempts)}"
"""


def test_the_first_reason_of_a_test_that_ran_twice_is_printed(tmp_path: Path) -> None:
    test = tmp_path / "test_flaky.py"
    test.write_text(FLAKY)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.summary", "-n", "1"]
    command += ["--reruns", "1", "-rR", "-c", "pyproject.toml", str(test)]
    # Else it might spend its time on removing what other runs left.
    command.append(f"--basetemp={tmp_path / 'of-workers'}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed, 2 rerun" in done.stdout, done.stdout + done.stderr
    assert "E       AssertionError: the reason of the first attempt" in done.stdout
    for reason in ("reason 3", "reason 4"):
        assert f"E       AssertionError: {reason}" in done.stdout
