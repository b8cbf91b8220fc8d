"""How a request gets its token, is repeated when that is safe, and ends in an answer."""

import os
import random
import time
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ValidationError

from artstore import __version__
from artstore.client.keys import KeySource
from artstore.client.messages import (
    Answer,
    Authorize,
    Exchange,
    Flow,
    Pause,
    Request,
    Sink,
)
from artstore.client.people import fresh_access
from artstore.client.problems import check
from artstore.client.results import AccessToken
from artstore.client.settings import Profile
from artstore.core.errors import (
    ArtStoreError,
    InternalError,
    InvalidToken,
    TooManyRequests,
    Unavailable,
    UploadUnderWay,
)

ModelT = TypeVar("ModelT", bound=BaseModel)

ATTEMPTS_MAX: Final = 6
"""With the delays below about 15 s: longer than a killed service needs to come back."""

DELAY_FIRST_S: Final = 0.25
DELAY_MAX_S: Final = 8.0
RETRY_AFTER_MAX_S: Final = 60
"""A server that asks for more is not waited for: the failure reaches the caller."""

TOKEN_MARGIN_S: Final = 30.0
"""A token this close to its end could die on the way."""

_COMMON_HEADERS: Final = {
    "user-agent": f"artstore-python/{__version__}",
    # Ranges, lengths and digests are those of the stored bytes.
    "accept-encoding": "identity",
}
TOKEN_TARGET: Final = "/api/v1/auth/token"  # noqa: S105  an address, not a token


def query_target(path: str, parameters: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(parameters, quote_via=quote)}" if parameters else path


def new_traceparent() -> str:
    """W3C trace context, level 1. Sampled: whether to record is for the servers to decide."""
    ids = os.urandom(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-01"


class Backoff:
    """Counts failures in a row and says how long to wait after each.

    The delay doubles and is spread, so that many clients do not come back at once.
    """

    def __init__(self, attempts_max: int = ATTEMPTS_MAX) -> None:
        self._attempts_max = attempts_max
        self._failures = 0

    def progressed(self) -> None:
        """Something arrived: what follows is a new row of failures."""
        self._failures = 0

    def after(self, failure: ArtStoreError) -> Pause:
        """Raises `failure` itself when it is time to give up."""
        self._failures += 1
        asked_s = failure.retry_after_s or 0
        if self._failures >= self._attempts_max or asked_s > RETRY_AFTER_MAX_S:
            raise failure
        delay_s = min(DELAY_MAX_S, DELAY_FIRST_S * 2 ** (self._failures - 1))
        spread = random.uniform(0.5, 1.0)  # noqa: S311  no secret depends on it
        return Pause(max(float(asked_s), delay_s * spread))


class Calls:
    """Holds the credentials and the access token of one client."""

    def __init__(self, profile: Profile, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._profile = profile
        self._monotonic_s = monotonic_s
        self._token: AccessToken | None = None
        self._token_ends_at_s = 0.0
        self._was_reached = False
        self.keys = KeySource()

    def fresh_token(self, stale: AccessToken | None = None) -> AccessToken | None:
        """The token at hand, unless it is `stale` or about to end."""
        token = self._token
        if token is None or token is stale:
            return None
        return token if self._monotonic_s() < self._token_ends_at_s else None

    def token(self, stale: AccessToken | None = None) -> Flow[AccessToken]:
        while (token := self.fresh_token(stale)) is None:
            yield Authorize(stale)
        return token

    def fetch_token(self, stale: AccessToken | None = None) -> Flow[None]:
        """Get a new token; only the driver runs this, one at a time (step `Authorize`)."""
        if self._profile.session_file is not None:
            token = yield from fresh_access(self._profile.session_file, stale, self.call)
        else:
            token = yield from self._token_of_account()
        # A lifetime shorter than the margin must still give a token that counts as fresh.
        self._token_ends_at_s = self._monotonic_s() + max(1.0, token.expires_in - TOKEN_MARGIN_S)
        self._token = token

    def _token_of_account(self) -> Flow[AccessToken]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._profile.client_id,
            "client_secret": self._profile.client_secret,
        }
        request = Request(
            "POST",
            TOKEN_TARGET,
            {"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            with_token=False,
        )
        answer = yield from self.call(request)
        return parse(AccessToken, answer)

    def call(self, request: Request) -> Flow[Answer]:
        """Send until there is an answer of success.

        Raises:
            ArtStoreError: As the server named it; what may pass by itself only
                after `ATTEMPTS_MAX` attempts, or at once if the body cannot be sent again.
        """
        backoff = Backoff()
        while True:
            try:
                return (yield from self.attempt(request))
            except (Unavailable, TooManyRequests, UploadUnderWay) as failure:
                if not request.repeatable or self._nobody_is_there(failure):
                    raise
                pause = backoff.after(failure)
            yield pause

    def attempt(self, request: Request, sink: Sink | None = None) -> Flow[Answer]:
        """Send once, and once more when the token turns out to be no longer good."""
        headers = {**_COMMON_HEADERS, "traceparent": new_traceparent(), **request.headers}
        if not request.with_token:
            answer = yield Exchange(request, headers, sink)
            self._was_reached = True
            self.keys.heard(answer.headers.get("date"))
            return check(answer)
        token = yield from self.token()
        try:
            return check((yield Exchange(request, _authorized(headers, token), sink)))
        except InvalidToken:
            if not request.repeatable:
                raise
        token = yield from self.token(stale=token)
        return check((yield Exchange(request, _authorized(headers, token), sink)))

    def _nobody_is_there(self, failure: ArtStoreError) -> bool:
        """Refused at the first contact: not a service that comes back, but none at all.
        Whoever waits for a prompt answer should not wait for the repetitions."""
        return bool(failure.fields.get("unreachable")) and not self._was_reached


def _authorized(headers: dict[str, str], token: AccessToken) -> dict[str, str]:
    return {**headers, "authorization": f"Bearer {token.access_token}"}


def parse(model: type[ModelT], answer: Answer) -> ModelT:
    """The answer's body as a `model`.

    Raises:
        InternalError: It is something else; client and server do not fit together.
    """
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        raise InternalError(
            f"the server's answer is not a {model.__name__} that this version understands",
            correlation_id=answer.headers.get("x-correlation-id"),
        ) from None
