"""The few requests that the client library has no words for, signed with AWS Signature 4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
import http.client
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from artstore.core.clock import Clock
from artstore.storage.engine.backends.base import StoreAway

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    access_key: str
    secret_key: str


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class SignedRequests:
    """Blocking, one connection for each request."""

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        region: str,
        credentials: Credentials,
        timeout_s: float,
        clock: Clock,
    ) -> None:
        self._url = urlsplit(endpoint)
        self._bucket = bucket
        self._region = region
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._clock = clock

    def send(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Raises:
        StoreAway: There was no answer.
        """
        path = quote(f"{self._url.path.rstrip('/')}/{self._bucket}/{key}".rstrip("/"))
        asked = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in sorted((query or {}).items())
        )
        signed = self._signed(method, path, asked, headers or {}, body)
        connection = self._connection()
        try:
            target = f"{path}?{asked}" if asked else path
            connection.request(method, target, body or None, signed)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise StoreAway("the object store cannot be reached") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, self._url.port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(
            host, self._url.port, timeout=self._timeout_s, context=ssl.create_default_context()
        )

    def _signed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        now = self._clock.now()
        digest = hashlib.sha256(body).hexdigest()
        complete = {
            **{name.lower(): value for name, value in headers.items()},
            "host": self._url.netloc,
            "x-amz-content-sha256": digest,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        }
        names = ";".join(sorted(complete))
        canonical_headers = "".join(f"{name}:{complete[name]}\n" for name in sorted(complete))
        canonical = "\n".join((method, path, query, canonical_headers, names, digest))
        scope = f"{now:%Y%m%d}/{self._region}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join((_ALGORITHM, complete["x-amz-date"], scope, hashed))
        signature = _mac(self._signing_key(now), text).hex()
        complete["authorization"] = (
            f"{_ALGORITHM} Credential={self._credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return complete

    def _signing_key(self, now: datetime) -> bytes:
        key = f"AWS4{self._credentials.secret_key}".encode()
        for part in (f"{now:%Y%m%d}", self._region, "s3", "aws4_request"):
            key = _mac(key, part)
        return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
