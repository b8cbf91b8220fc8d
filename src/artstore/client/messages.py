"""What the SDK says to a server and hears from it, without any input or output.

An operation of the SDK is a generator, a `Flow`: it yields steps and is sent their results.
Retries, token refresh and resumption are written once, in flows; the two transports
(`artstore.client.sync_transport`, `artstore.client.async_transport`) only perform steps.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from artstore.client.results import AccessToken

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes done so far and those in total, if known. Maybe from another thread."""


class Body(Protocol):
    """The content of an upload that is not held in memory as a whole."""

    @property
    def size_bytes(self) -> int | None:
        """`None` when the length is not known before the end."""

    @property
    def rewindable(self) -> bool:
        """Whether `chunks` can be called again after a failed attempt."""

    def chunks(self) -> Iterator[bytes]:
        """The content from its start. Blocking."""


class Sink(Protocol):
    """Where a download goes. All methods may block."""

    def begin(self, answer: "Answer") -> None:
        """Headers have arrived; the body follows."""

    def write(self, chunk: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    with_token: bool = True

    @property
    def repeatable(self) -> bool:
        """Whether a second attempt can send the same body again."""
        return self.body is None or isinstance(self.body, bytes) or self.body.rewindable


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes = b""
    """Empty when a sink took it."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a request; the result is an `Answer`.

    The body of a 200 or 206 goes to `sink`, if there is one.

    Raises (into the flow):
        Unavailable: No connection, or it was cut, or nothing moved for too long.
    """

    request: Request
    headers: Mapping[str, str]
    """All that are sent, those of the request included."""
    sink: Sink | None = None


@dataclass(frozen=True, slots=True)
class Authorize:
    """Have a token other than `stale`, fetched by one caller for all that wait."""

    stale: AccessToken | None


@dataclass(frozen=True, slots=True)
class Pause:
    delay_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """Run something that blocks; the result is what it returns."""

    call: Callable[[], Any]


Step: TypeAlias = Exchange | Authorize | Pause | Work
Flow: TypeAlias = Generator[Step, Any, T]
