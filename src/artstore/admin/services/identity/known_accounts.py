"""Rows of busy accounts, held for a moment: a machine that asks for token after token costs one
read in five seconds.

Whatever takes something from an account raises its epoch, and the mirror of revocations knows
that first. So a row that is held is never used past its epoch, nor while the mirror is behind.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime

from artstore.admin.repository.service_accounts import AccountWithSecret
from artstore.core.clock import Clock
from artstore.core.revocation import RevocationMirror

HELD_S = 5.0
MIRROR_AGE_MAX_S = 2.0
HELD_MAX = 10_000


@dataclass(frozen=True)
class _Held:
    found: AccountWithSecret
    since_s: float


class KnownAccounts:
    def __init__(self, mirror: RevocationMirror, clock: Clock) -> None:
        self._mirror = mirror
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def get(self, client_id: str) -> AccountWithSecret | None:
        held = self._held.get(client_id)
        if held is None or self._mirror.age_s > MIRROR_AGE_MAX_S:
            return None
        account = held.found.account
        if (
            self._clock.monotonic_s() - held.since_s > HELD_S
            or account.token_epoch < self._mirror.epoch_of(account.subject)
        ):
            del self._held[client_id]
            return None
        return held.found

    def used(self, client_id: str, now: datetime) -> None:
        """Its last use is written down; not again by whoever comes in the next minute."""
        held = self._held.get(client_id)
        if held is not None:
            account = held.found.account.model_copy(update={"last_used_at": now})
            self._held[client_id] = replace(held, found=replace(held.found, account=account))

    def hold(self, found: AccountWithSecret) -> None:
        client_id = found.account.client_id
        self._held[client_id] = _Held(found, self._clock.monotonic_s())
        self._held.move_to_end(client_id)
        if len(self._held) > HELD_MAX:
            self._held.popitem(last=False)
