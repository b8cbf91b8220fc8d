"""How a person signs in at a terminal, and how the session that follows is kept.

The session lies in one private file. Its refresh token is good once and a copy of it ends the
session, so commands that run at the same time take turns: whoever holds the lock beside the file
refreshes, and the others find what it got.
"""

import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from artstore.client.messages import Answer, Flow, Request, Work
from artstore.client.results import AccessToken
from artstore.core.errors import InvalidCredentials, InvalidToken, WeakPassword
from artstore.core.private_files import write_private

AUTH: Final = "/api/v1/admin-auth"
TOKEN_MARGIN_S: Final = 30.0
TRIES: Final = 3
"""For a mistyped code; after that one begins anew, as with the password."""
ENDED: Final = "your session has ended: run `artstore login` again"


class Asks(Protocol):
    """The terminal."""

    def secret(self, prompt: str) -> str:
        """Without showing what is typed."""

    def text(self, prompt: str) -> str: ...

    def tell(self, text: str) -> None: ...


class SignIn(BaseModel):
    """As `/admin-auth/login` and the steps after it answer."""

    model_config = ConfigDict(frozen=True)

    access_token: str
    expires_in: int
    scope: str = ""
    refresh_token: str | None = None


class KeptSession(BaseModel):
    """The content of the session's file."""

    access_token: str
    ends_at: float
    """Seconds since 1970, of the access token."""
    refresh_token: str


Send = Callable[[Request], Answer]


@dataclass(frozen=True)
class Terminal:
    """One sign-in: password, and whatever step the server wants next."""

    send: Send
    asks: Asks
    username: str

    def sign_in(self) -> SignIn:
        """
        Raises:
            ArtStoreError: As the server named it.
        """
        password = self.asks.secret(f"password of {self.username}")
        step = self._post("login", {"username": self.username, "password": password})
        while step.refresh_token is None:
            match step.scope:
                case "password:change":
                    step, password = self._change_password(step, password)
                case "second-factor:set-up":
                    step = self._set_up_codes(step)
                case _:
                    step = self._again(lambda step=step: self._prove(step))  # type: ignore[misc]
        return step

    def _change_password(self, step: SignIn, password: str) -> tuple[SignIn, str]:
        self.asks.tell("choose a password of your own: at least 15 characters, hard to guess")
        while True:
            chosen = self.asks.secret("new password")
            if chosen != self.asks.secret("the same again"):
                self.asks.tell("they differ")
                continue
            body = {"current_password": password, "new_password": chosen}
            try:
                return self._post("change-password", body, step.access_token), chosen
            except WeakPassword as refusal:
                self.asks.tell(refusal.detail)

    def _set_up_codes(self, step: SignIn) -> SignIn:
        offered = self._answer("one-time-password", None, step.access_token)
        self.asks.tell("add this to an authenticator app: it is your second factor from now on")
        self.asks.tell(f"  {offered['uri']}")
        self.asks.tell(f"  or type the secret: {offered['secret']}")
        return self._again(lambda: self._confirm(step))

    def _confirm(self, step: SignIn) -> SignIn:
        body = {"code": self.asks.text("code of the app")}
        done = self._answer("one-time-password/confirm", body, step.access_token)
        self.asks.tell("recovery codes, each good once; print them and lock them away:")
        for code in done["recovery_codes"]:
            self.asks.tell(f"  {code}")
        return SignIn.model_validate(done["signed_in"])

    def _prove(self, step: SignIn) -> SignIn:
        code = self.asks.text("code of the app, or a recovery code")
        return self._post("second-factor", {"code": code}, step.access_token)

    def _again(self, ask: Callable[[], SignIn]) -> SignIn:
        for _ in range(TRIES - 1):
            try:
                return ask()
            except InvalidCredentials:
                self.asks.tell("that code is not right, or was used before; wait for the next one")
        return ask()

    def _post(self, path: str, body: dict[str, str], token: str | None = None) -> SignIn:
        return SignIn.model_validate(self._answer(path, body, token))

    def _answer(self, path: str, body: dict[str, str] | None, token: str | None) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = self.send(auth_request(path, body, headers))
        return orjson.loads(answer.body)


def auth_request(
    path: str,
    body: dict[str, str] | None,
    headers: dict[str, str] | None = None,
    *,
    with_token: bool = False,
) -> Request:
    content = b"" if body is None else orjson.dumps(body)
    kind = {"content-type": "application/json"} if content else {}
    wanted = {**kind, **(headers or {})}
    return Request("POST", f"{AUTH}/{path}", wanted, body=content, with_token=with_token)


# --- the session that follows -------------------------------------------------------------


def keep_session(path: Path, signed_in: SignIn) -> KeptSession:
    """
    Raises:
        InvalidToken: The server gave no session.
    """
    if signed_in.refresh_token is None:
        raise InvalidToken(ENDED)
    kept = KeptSession(
        access_token=signed_in.access_token,
        ends_at=time.time() + signed_in.expires_in,
        refresh_token=signed_in.refresh_token,
    )
    write_private(path, kept.model_dump_json().encode())
    return kept


def read_session(path: Path) -> KeptSession:
    """
    Raises:
        InvalidToken: There is none any more.
    """
    try:
        return KeptSession.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidToken(ENDED) from error


def fresh_access(
    path: Path, stale: AccessToken | None, exchange: Callable[[Request], Flow[Answer]]
) -> Flow[AccessToken]:
    """The session's access token, refreshed if it is `stale` or about to end.

    Args:
        exchange: Sends a request once.

    Raises:
        InvalidToken: The session has ended.
    """
    lock: int = yield Work(lambda: _locked(path))
    try:
        kept = read_session(path)
        used = stale is not None and stale.access_token == kept.access_token
        if used or kept.ends_at - time.time() < TOKEN_MARGIN_S:
            try:
                answer = yield from exchange(
                    auth_request("refresh", {"refresh_token": kept.refresh_token})
                )
            except InvalidToken:
                raise InvalidToken(ENDED) from None
            kept = keep_session(path, SignIn.model_validate_json(answer.body))
    finally:
        os.close(lock)
    return AccessToken(
        access_token=kept.access_token,
        token_type="Bearer",  # noqa: S106  a kind of token, not one
        expires_in=max(0, int(kept.ends_at - time.time())),
    )


def _locked(path: Path) -> int:
    """A descriptor that holds the lock until it is closed, also by the end of the process."""
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidToken(ENDED) from error
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock
