"""Whoever shows nothing valid has to wait after a while: of one address, and nobody else."""

from types import SimpleNamespace

import pytest
from starlette.requests import Request
from tests.support.hand_clock import HandClock

from artstore.core.errors import TooManyRequests
from artstore.core.tls import PeerIdentity
from artstore.core.tokens import RequestLimits
from artstore.core.web.addresses import network_of
from artstore.core.web.authentication import STRANGERS_PER_MINUTE, limit_strangers
from artstore.core.web.middleware import PEER_EXTENSION

EDGE = PeerIdentity("edge", "edge-1")


class Door:
    def __init__(self) -> None:
        self.clock = HandClock()
        tokens = SimpleNamespace(limits=RequestLimits(self.clock))
        self._app = SimpleNamespace(state=SimpleNamespace(tokens=tokens))

    def knock(self, address: str, times: int = 1, peer: PeerIdentity = EDGE) -> None:
        scope = {
            "type": "http",
            "app": self._app,
            "headers": [(b"x-forwarded-for", address.encode())],
            "client": ("127.0.0.1", 1),
            "extensions": {PEER_EXTENSION: peer},
        }
        for _ in range(times):
            limit_strangers(Request(scope))


def test_after_a_minutes_worth_an_address_has_to_wait() -> None:
    door = Door()
    door.knock("192.0.2.1", STRANGERS_PER_MINUTE)
    with pytest.raises(TooManyRequests) as refused:
        door.knock("192.0.2.1")
    assert refused.value.retry_after_s == 1
    door.knock("192.0.2.2", STRANGERS_PER_MINUTE)
    door.clock.advance(60)
    door.knock("192.0.2.1", STRANGERS_PER_MINUTE)


def test_a_network_of_ipv6_is_one_address() -> None:
    door = Door()
    door.knock("2001:db8::1", STRANGERS_PER_MINUTE)
    with pytest.raises(TooManyRequests):
        door.knock("2001:db8::ffff:2")
    door.knock("2001:db8:0:1::1")


def test_our_own_services_are_no_strangers() -> None:
    Door().knock("192.0.2.1", STRANGERS_PER_MINUTE + 1, PeerIdentity("query", "query-1"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unix:", "unknown"),
        ("' OR 1=1", "unknown"),
    ],
)
def test_what_is_one_place(address: str, network: str) -> None:
    assert network_of(address) == network
