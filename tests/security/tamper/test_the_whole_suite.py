"""Holds the suite to what it promises: each kind of forgery, and so many cases. Runs last."""

import sys

import pytest
from tests.support.tampering import CASES, ITEMS, WHOLE

CASES_MIN = 40_000


def test_each_kind_of_forgery_was_tried_and_found() -> None:
    missing = {item for item in ITEMS if not CASES[item]}
    if len(missing) > len(ITEMS) / 2:
        pytest.skip("the forgeries were not run with it")

    assert missing == set()


def test_so_many_cases_were_found(capsys: pytest.CaptureFixture[str]) -> None:
    if not WHOLE:
        pytest.skip("only a sample was tried: make test-tamper")

    with capsys.disabled():
        sys.stdout.write(f"\n{CASES.total()} cases, each found:\n")
        sys.stdout.writelines(f"{CASES[item]:>8}  {item}\n" for item in ITEMS)
    assert CASES.total() >= CASES_MIN
