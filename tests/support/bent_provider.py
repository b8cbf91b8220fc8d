"""An identity provider that a test can bend: honest until `claims`, `header` and the like say
otherwise. It injects faults; how a real one works is tested with OpenBao (`openbao_provider`).
"""

import base64
import contextlib
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from artstore.core.tls import TlsFiles

CLIENT_ID = "artstore"
SUBJECT = "7c1e"
Claims = dict[str, Any]


@dataclass
class BentProvider:
    url: str = ""
    key: RSAKey = field(default_factory=lambda: new_key("first"))
    published: list[RSAKey] = field(default_factory=list)
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    checks_pkce: bool = True
    promises_issuer: bool = True
    bend: Callable[[Claims], Claims] = lambda claims: claims
    make_token: Callable[["BentProvider", Claims], str] | None = None
    key_fetches: int = 0
    token_answer: tuple[int, bytes] | None = None

    def __post_init__(self) -> None:
        self.published = [self.key]

    def straighten(self) -> None:
        self.checks_pkce, self.promises_issuer = True, True
        self.bend, self.make_token, self.token_answer = lambda claims: claims, None, None

    # --- what a browser does there ------------------------------------------------------

    def authorize(self, location: str, **tampered: str) -> dict[str, str]:
        """The parameters that it sends the browser back with."""
        wanted = {**dict(parse_qsl(urlsplit(location).query)), **tampered}
        code = secrets.token_urlsafe(16)
        self.codes[code] = wanted
        return {"code": code, "state": wanted["state"], "iss": self.url}

    # --- what it answers ----------------------------------------------------------------

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "authorization_response_iss_parameter_supported": self.promises_issuer,
        }

    def keys(self) -> dict[str, Any]:
        self.key_fetches += 1
        noise = [{"kty": "OKP", "crv": "Ed25519"}, {"kty": "RSA", "kid": "broken"}, "text"]
        return {"keys": [key.as_dict(private=False) for key in self.published] + noise}

    def token(self, form: dict[str, str]) -> tuple[int, bytes]:
        if self.token_answer is not None:
            return self.token_answer
        wanted = self.codes.pop(form["code"], None)
        if wanted is None or form["redirect_uri"] != wanted["redirect_uri"]:
            return 400, b'{"error": "invalid_grant"}'
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if self.checks_pkce and challenge != wanted.get("code_challenge"):
            return 400, b'{"error": "invalid_grant"}'
        claims = self.bend(self.claims(wanted))
        make = self.make_token or (lambda provider, claims: provider.signed(claims))
        return 200, json.dumps({"id_token": make(self, claims), "token_type": "Bearer"}).encode()

    def claims(self, wanted: dict[str, str]) -> Claims:
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": SUBJECT,
            "preferred_username": "Мария Maria",
            "groups": ["archivists"],
            "nonce": wanted["nonce"],
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
        }

    def signed(self, claims: Claims, key: RSAKey | None = None, **header: object) -> str:
        key = key or self.key
        head = {"alg": "RS256", "typ": "JWT", "kid": key.kid, **header}
        return jwt.encode(head, claims, key, ["RS256", "RS384", "HS256", "none"])


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


@contextlib.contextmanager
def bent_provider(tls: TlsFiles) -> Iterator[BentProvider]:
    made = BentProvider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(provider: BentProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path:
                case "/.well-known/openid-configuration":
                    self._answer(200, json.dumps(provider.metadata()).encode())
                case "/keys":
                    self._answer(200, json.dumps(provider.keys()).encode())
                case _:
                    self._answer(404, b"{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer(*provider.token(dict(parse_qsl(body))))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    return Handler


def settings_of(provider: BentProvider, secret_file: Path, ca_file: Path) -> dict[str, object]:
    """Of the admin module, without `ARTSTORE_`."""
    return {
        "OIDC_ISSUER": provider.url,
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET_FILE": secret_file,
        "OIDC_CA_FILE": ca_file,
        "OIDC_ROLES": '{"archivists": "admin", "readers": "readonly", "chiefs": "super_admin"}',
        "OIDC_SECOND_FACTOR_VALUES": '["mfa"]',
    }
