"""Talks to the outside identity provider: where it answers, its keys, and codes for ID tokens.

Everything it says is taken with care: bounded in size and time, no redirects, and nothing but
what OpenID Connect Discovery 1.0 and RFC 6749 promise.
"""

import asyncio
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import aiohttp
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import BaseModel, ValidationError

from artstore.admin.services.identity.outside.terms import Terms
from artstore.core.clock import Clock
from artstore.core.errors import InvalidCredentials, Unavailable
from artstore.core.logging import get_logger
from artstore.core.tokens import SigningKeys

ANSWER_BYTES_MAX: Final = 1 << 20
ANSWER_TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 16
METADATA_AGE_MAX_S: Final = 3600.0
METADATA_FAILED_AFTER_S: Final = 5.0
"""Until the next try, while the provider is away."""
KEY_BITS_MIN: Final = 2048
AWAY: Final = "the identity provider does not answer; try again, or sign in with a password"


class Metadata(BaseModel):
    """OpenID Connect Discovery 1.0, and RFC 9207."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


class Provider:
    """One per process. Create it inside the running event loop; `close()` it at the end."""

    def __init__(self, terms: Terms, clock: Clock) -> None:
        self.terms = terms
        self._clock = clock
        self._metadata: Metadata | None = None
        self._asked_at_s = float("-inf")
        self._asking = asyncio.Lock()
        self.keys = SigningKeys(self._fetch_keys, clock)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=terms.trusted_context())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
        )

    async def close(self) -> None:
        await self._session.close()

    async def metadata(self) -> Metadata:
        """
        Raises:
            Unavailable: They are not known and cannot be fetched.
        """
        if self._age_s() > METADATA_AGE_MAX_S or self._metadata is None:
            async with self._asking:
                await self._refresh()
        if self._metadata is None:
            raise Unavailable(AWAY)
        return self._metadata

    async def id_token(self, code: str, verifier: str) -> str:
        """What the provider gives for a code (RFC 6749, 4.1.3; RFC 7636, 4.5).

        Raises:
            InvalidCredentials: It does not take the code.
            Unavailable: It does not answer.
        """
        metadata, terms = await self.metadata(), self.terms
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": terms.redirect_uri,
            "code_verifier": verifier,
        }
        auth = None
        if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            # RFC 6749, 2.3.1: both parts are form-encoded first.
            auth = aiohttp.BasicAuth(quote_plus(terms.client_id), quote_plus(terms.client_secret()))
        else:
            form |= {"client_id": terms.client_id, "client_secret": terms.client_secret()}
        status, answer = await self._ask("POST", metadata.token_endpoint, data=form, auth=auth)
        if status != 200:
            error = answer.get("error")
            get_logger().warning("identity provider takes no code", status=status, error=error)
            raise InvalidCredentials
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise InvalidCredentials
        return token

    def _age_s(self) -> float:
        return self._clock.monotonic_s() - self._asked_at_s

    async def _refresh(self) -> None:
        fresh_for_s = METADATA_AGE_MAX_S if self._metadata else METADATA_FAILED_AFTER_S
        if self._age_s() <= fresh_for_s:
            return
        self._asked_at_s = self._clock.monotonic_s()
        url = f"{self.terms.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            status, answer = await self._ask("GET", url)
            found = Metadata.model_validate(answer)
        except (Unavailable, ValidationError) as error:
            get_logger().warning("identity provider not understood", error=repr(error))
            return  # What was known stays good.
        if status == 200 and _fits(found, self.terms):
            self._metadata = found
        else:
            get_logger().error("identity provider is not the one that was agreed on")

    async def _fetch_keys(self) -> dict[str, Any]:
        status, answer = await self._ask("GET", (await self.metadata()).jwks_uri)
        listed = answer.get("keys")
        if status != 200 or not isinstance(listed, list):
            raise Unavailable(AWAY)
        return {"keys": [jwk for jwk in listed if _is_usable(jwk)]}

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        try:
            async with self._session.request(
                method, url, allow_redirects=False, headers={"Accept": "application/json"}, **more
            ) as response:
                body = b""
                async for chunk in response.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise Unavailable(AWAY)
                answer = orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
            get_logger().warning("identity provider does not answer", error=repr(error))
            raise Unavailable(AWAY) from error
        if not isinstance(answer, dict):
            raise Unavailable(AWAY)
        return response.status, answer


def _fits(found: Metadata, terms: Terms) -> bool:
    """It speaks for the issuer that was agreed on, and only over TLS where that one does."""
    scheme = urlsplit(terms.issuer).scheme
    addresses = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
    return found.issuer == terms.issuer and all(
        urlsplit(address).scheme == scheme for address in addresses
    )


def _is_usable(jwk: object) -> bool:
    """An RSA key that signs; providers also publish others, which are of no use here."""
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig":
        return False
    try:
        key = RSAKey.import_key(jwk)
    except (JoseError, ValueError, TypeError):
        return False
    return not key.is_private and key.raw_value.key_size >= KEY_BITS_MIN
