"""A bundle is made also while the log begins to sign with new keys."""

from collections.abc import Generator
from typing import Any

import orjson
import pytest
from tests.support.bundles import POLICY, deposited
from tests.support.transparency import ORIGIN, key

from artstore.client import proofs
from artstore.client.messages import Answer, Request
from artstore.core.tlog.proof_file import ProofFile

OLD_KEY = key(ORIGIN, number=9)


class RotatingServer:
    """Signs with keys that it did not name until it was asked for a proof."""

    def __init__(self) -> None:
        self._keys = [str(OLD_KEY.verifier)]

    def call(self, request: Request) -> Generator[Any, Any, Answer]:
        yield from ()
        if request.target.endswith("/keys"):
            return self._answer(origin=ORIGIN, log_keys=self._keys, witness_keys=[], quorum=0)
        self._keys += [str(item) for item in POLICY.log_keys]
        return self._answer(items=[self._proven(place) for place in deposited().places])

    def _proven(self, place: int) -> dict[str, Any]:
        made = deposited()._proven(place)
        proof = ProofFile(place, tuple(made.proof), deposited().log.notes[-1])
        event = orjson.loads(made.entry)
        return {"index": place, "event": event, "proof": proof.to_bytes().decode()}

    def _answer(self, **fields: object) -> Answer:
        return Answer(200, {}, orjson.dumps(fields))


def test_the_keys_are_those_that_signed_what_was_asked_for_before() -> None:
    file_id = str(deposited().log.events[deposited().places[0]].file_id)
    flow = proofs._history(RotatingServer(), file_id, None)  # type: ignore[arg-type]
    with pytest.raises(StopIteration) as end:
        next(flow)

    history = end.value.value
    assert len(history.events) == len(deposited().places)
    assert set(POLICY.log_keys) <= set(history.policy.log_keys)
