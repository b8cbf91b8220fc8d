"""A real identity provider: OpenBao (`bao server -dev-tls`), which is one by its identity engine.

Two groups and one client are set up as an administrator would do it; tests add people.
"""

import contextlib
import secrets
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from tests.support.processes import running, short_folder

from artstore.core.private_files import write_private

PASSWORD = "correct horse battery staple"
ROOT_TOKEN = "root-of-the-test"
GROUPS_TEMPLATE = '{"groups": {{identity.entity.groups.names}}}'
NAME_TEMPLATE = '{"preferred_username": {{identity.entity.name}}}'


@dataclass
class OpenBaoProvider:
    url: str
    ca_file: Path
    redirect_uri: str
    folder: Path
    client_id: str = ""
    client_secret: str = ""
    mount: str = ""
    members: dict[str, set[str]] = field(
        default_factory=lambda: {"archivists": set(), "readers": set()}
    )
    """Entities in each group."""

    @property
    def issuer(self) -> str:
        return f"{self.url}/v1/identity/oidc/provider/archive"

    @property
    def settings(self) -> dict[str, object]:
        """Of the admin module, without `ARTSTORE_`."""
        secret_file = self.folder / "client-secret"
        write_private(secret_file, self.client_secret)
        return {
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": self.client_id,
            "OIDC_CLIENT_SECRET_FILE": secret_file,
            "OIDC_CA_FILE": self.ca_file,
            "OIDC_SCOPE": "openid groups profile",
            "OIDC_ROLES": '{"archivists": "admin", "readers": "readonly"}',
        }

    def set_up(self) -> None:
        self.write("sys/auth/userpass", {"type": "userpass"})
        self.mount = self.read("sys/auth")["userpass/"]["accessor"]
        for scope, template in (("groups", GROUPS_TEMPLATE), ("profile", NAME_TEMPLATE)):
            self.write(f"identity/oidc/scope/{scope}", {"template": template})
        self.write("identity/oidc/key/archive", {"allowed_client_ids": "*", "algorithm": "RS256"})
        client = {
            "key": "archive",
            "redirect_uris": [self.redirect_uri],
            "assignments": ["allow_all"],
        }
        self.write("identity/oidc/client/artstore", client)
        made_client = self.read("identity/oidc/client/artstore")
        self.client_id, self.client_secret = made_client["client_id"], made_client["client_secret"]
        terms = {
            "issuer": self.url,
            "allowed_client_ids": "*",
            "scopes_supported": "groups,profile",
        }
        self.write("identity/oidc/provider/archive", terms)

    def new_person(self, name: str, *groups: str) -> str:
        """Somebody whom no test saw before, nor a first attempt of the same test."""
        person = f"{name}-{secrets.token_hex(3)}"
        self.write(f"auth/userpass/users/{person}", {"password": PASSWORD})
        entity = self.write("identity/entity", {"name": person})["id"]
        alias = {"name": person, "canonical_id": entity, "mount_accessor": self.mount}
        self.write("identity/entity-alias", alias)
        self.put_in_groups(person, *groups)
        return person

    def put_in_groups(self, person: str, *groups: str) -> None:
        """In these and no others."""
        entity = self.read(f"identity/entity/name/{person}")["id"]
        for group, members in self.members.items():
            (members.add if group in groups else members.discard)(entity)
            self.write("identity/group", {"name": group, "member_entity_ids": sorted(members)})

    def authorize(self, location: str, person: str) -> dict[str, str]:
        """What a browser brings back, whose person signs in there and agrees.

        OpenBao's own page does the same two calls.
        """
        with self._client() as client:
            login = client.post(f"/v1/auth/userpass/login/{person}", json={"password": PASSWORD})
            token = login.json()["auth"]["client_token"]
            answer = client.get(
                "/v1/identity/oidc/provider/archive/authorize",
                params=dict(parse_qsl(urlsplit(location).query)),
                headers={"X-Vault-Token": token},
            )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def write(self, path: str, body: dict[str, Any]) -> Any:
        with self._client() as client:
            answer = client.post(f"/v1/{path}", json=body, headers={"X-Vault-Token": ROOT_TOKEN})
        assert answer.status_code < 300, answer.text
        return (answer.json().get("data") or {}) if answer.content else {}

    def read(self, path: str) -> Any:
        with self._client() as client:
            answer = client.get(f"/v1/{path}", headers={"X-Vault-Token": ROOT_TOKEN})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def _client(self) -> httpx2.Client:
        context = ssl.create_default_context(cafile=self.ca_file)
        return httpx2.Client(base_url=self.url, verify=context, timeout=30)


@contextlib.contextmanager
def openbao_provider(program: Path, redirect_uri: str) -> Iterator[OpenBaoProvider]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with short_folder() as folder:
        command = [
            str(program),
            "server",
            "-dev-tls",
            f"-dev-tls-cert-dir={folder}",
            f"-dev-listen-address=127.0.0.1:{port}",
            f"-dev-root-token-id={ROOT_TOKEN}",
            "-dev-no-store-token",
        ]
        made = OpenBaoProvider(f"https://127.0.0.1:{port}", folder / "ca.pem", redirect_uri, folder)

        def is_ready(_: int) -> bool:
            found = sorted(folder.glob("*ca.pem"))
            if not found:
                return False
            made.ca_file = found[0]
            with contextlib.suppress(httpx2.HTTPError), made._client() as client:
                return client.get("/v1/sys/health").status_code == 200
            return False

        with running(command, is_ready, folder / "log"):
            made.set_up()
            yield made
