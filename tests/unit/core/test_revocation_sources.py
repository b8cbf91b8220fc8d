"""Goal: what one source tells hides nothing that the other tells."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from tests.support.hand_clock import HandClock

from artstore.core.revocation import Revocation, RevocationKind, RevocationMirror, RevocationNews
from artstore.core.revocation_sources import follow_admin


class Answering:
    """A transport whose other side knows these revocations."""

    def __init__(self, known: list[Revocation]) -> None:
        self._known = known
        self.asked: list[int] = []

    @contextlib.asynccontextmanager
    async def request(self, *_: object, params: dict[str, str], **__: object) -> AsyncIterator[Any]:
        self.asked.append(int(params["after"]))
        found = [each for each in self._known if each.seq > self.asked[-1]]
        self._body = RevocationNews(revocations=found, age_s=0).model_dump_json()
        await asyncio.sleep(0)
        yield self

    async def read(self) -> str:
        return self._body


async def test_numbers_of_valkey_hide_nothing_of_the_admin_module() -> None:
    clock = HandClock()
    mirror = RevocationMirror(clock)
    made, foreign = (
        Revocation(
            seq=seq, kind=RevocationKind.TOKEN, value=value, ends_at=clock.now() + timedelta(1)
        )
        for seq, value in ((17, "made"), (900, "of another history"))
    )
    mirror.apply([foreign])
    admin = Answering([made])
    following = asyncio.create_task(follow_admin(mirror, admin, "https://admin"))  # type: ignore[arg-type]
    while len(admin.asked) < 3:
        await asyncio.sleep(0)
    following.cancel()
    assert {each.value for each in mirror.beyond(0)} == {"made", "of another history"}
    assert admin.asked[:3] == [0, 17, 17]
