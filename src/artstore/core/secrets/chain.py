"""The secrets of a process: the first source that has one gives it, the last good value stays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import SECRET_CHANGED, SECRET_READABLE
from artstore.core.settings import ConfigurationError

LOOK_AGAIN_S: Final = 1.0
"""A changed secret is noticed so late at most, once its source knows it."""


@dataclass(frozen=True)
class Secret:
    text: str = field(repr=False)
    changed_at: datetime


@dataclass(frozen=True)
class Login:
    """A name and a password that belong together: a rotation changes both at once."""

    username: str | None
    """`None`: the one in the URL."""
    password: str = field(repr=False)


LoginSource = Callable[[], Login]
"""The login that is right now. Called for each new connection, so it must not wait."""


class SecretSource(Protocol):
    def find(self, name: str) -> Secret | None:
        """The newest value known; `None`: this source has no secret of that name.

        Called on the event loop: it may read a small file and never wait for a network.

        Raises:
            ConfigurationError: There is one, and it cannot be used; the message says why.
        """
        ...

    def place(self, name: str) -> str:
        """Where the secret would have to lie, for people."""
        ...

    def close(self) -> None: ...


class Secrets:
    def __init__(self, sources: Sequence[SecretSource], clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._known: dict[str, tuple[float, Secret]] = {}
        self._failing: set[str] = set()

    def read(self, name: str) -> str:
        """
        Raises:
            ConfigurationError: Nobody has it, or it is unfit, and it never was otherwise.
        """
        now_s = self._clock.monotonic_s()
        seen = self._known.get(name)
        if seen is not None and now_s - seen[0] < LOOK_AGAIN_S:
            return seen[1].text
        try:
            secret = self._find(name)
        except ConfigurationError as error:
            if seen is None:
                raise
            # What worked a second ago works still: a file half-way through being replaced, a
            # volume that is away. That it cannot be read any more is a metric.
            self._tell_failure(name, error)
            secret = seen[1]
        else:
            self._tell_found(name, secret)
        self._known[name] = (now_s, secret)
        return secret.text

    def login(self, name: str) -> Login:
        """Of a secret with one line, a password, or with two, a name and its password."""
        lines = self.read(name).split("\n")
        if len(lines) == 1:
            return Login(None, lines[0])
        if len(lines) == 2 and all(lines):
            return Login(lines[0].strip(), lines[1].strip())
        raise ConfigurationError(f"{name}: expected a password, or a name and below it a password")

    def login_source(self, name: str) -> LoginSource:
        return lambda: self.login(name)

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _find(self, name: str) -> Secret:
        for source in self._sources:
            found = source.find(name)
            if found is not None:
                return found
        places = " or ".join(source.place(name) for source in self._sources)
        raise ConfigurationError(f"the secret {name} is missing: put it into {places}")

    def _tell_found(self, name: str, secret: Secret) -> None:
        SECRET_READABLE.labels(name).set(1)
        SECRET_CHANGED.labels(name).set(secret.changed_at.timestamp())
        if name in self._failing:
            self._failing.discard(name)
            get_logger().info("secret can be read again", secret=name)

    def _tell_failure(self, name: str, error: ConfigurationError) -> None:
        SECRET_READABLE.labels(name).set(0)
        if name not in self._failing:
            self._failing.add(name)
            get_logger().warning("secret kept from memory", secret=name, cause=str(error))


def fixed_login(password: str, username: str | None = None) -> LoginSource:
    """A login that never changes."""
    login = Login(username, password)
    return lambda: login
