"""Which answers are refusals, and what is told of them."""

from typing import Any

import pytest

from artstore.core import errors
from artstore.core.model.account import Caller
from artstore.core.recording.deeds import Deed, Who
from artstore.core.web.authentication import CALLER
from artstore.core.web.problems import PROBLEM
from artstore.core.web.refusals import KNOWN_TOLD, Refusals

FILE_ID = "01a204ea-028c-75c8-a93c-59d9606ef0c7"
CALLER_7 = Caller(
    subject="user:7",
    name="Мария",
    scopes=frozenset(),
    token_id="t",
    expires_at="2030-01-01T00:00:00Z",  # type: ignore[arg-type]
)


class Told:
    """Where reports end."""

    def __init__(self) -> None:
        self.deeds: list[tuple[Who, Deed]] = []

    def note(self, who: Who, deed: Deed) -> None:
        self.deeds.append((who, deed))


@pytest.fixture
def told() -> Told:
    return Told()


def scope(error: errors.ArtStoreError, **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "headers": [],
        "client": ("192.0.2.1", 1),
        "path_params": {"file_id": FILE_ID},
        PROBLEM: error,
        **more,
    }


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (errors.InvalidToken(), "invalid_token"),
        (errors.NotPermitted(), "not_permitted"),
        (errors.ClientCertificateRequired(), "client_certificate_required"),
        (errors.ForeignFile(), "not_permitted"),
    ],
)
def test_refusals_are_told(told: Told, error: errors.ArtStoreError, problem: str) -> None:
    Refusals(told).noticed(scope(error, **{CALLER: CALLER_7}))  # type: ignore[arg-type]

    ((who, deed),) = told.deeds
    assert (deed.problem, deed.outcome, deed.file_id) == (problem, "refused", FILE_ID)
    assert (who.subject, who.address) == ("user:7", "192.0.2.1")
    hidden = isinstance(error, errors.ForeignFile)
    assert deed.details.get("answered") == ("unknown_file" if hidden else None)


@pytest.mark.parametrize(
    "error",
    [errors.UnknownFile(), errors.InvalidCredentials(), errors.Unavailable(), errors.NoRoom()],
)
def test_other_failures_are_not(told: Told, error: errors.ArtStoreError) -> None:
    Refusals(told).noticed(scope(error))  # type: ignore[arg-type]
    assert told.deeds == []


def test_floods_are_bounded_by_source(told: Told) -> None:
    refusals = Refusals(told)  # type: ignore[arg-type]
    for _ in range(100):
        refusals.noticed(scope(errors.InvalidToken()))
        refusals.noticed(scope(errors.NotPermitted(), **{CALLER: CALLER_7}))
    assert len(told.deeds) == 1 + KNOWN_TOLD

    refusals._tell(refusals._tally.ended(all_of_them=True))
    numbers = [deed.details["further_refusals"] for _, deed in told.deeds[-2:]]
    assert sorted(numbers) == [100 - KNOWN_TOLD, 99]
