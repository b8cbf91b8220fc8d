"""A real identity provider: OpenBao, which is one by its identity engine.

Two groups and one client are set up as an administrator would do it; tests add people.
"""

import secrets
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from tests.support.openbao import OpenBaoServer

from artstore.core.private_files import write_private

PASSWORD = "correct horse battery staple"
GROUPS_TEMPLATE = '{"groups": {{identity.entity.groups.names}}}'
NAME_TEMPLATE = '{"preferred_username": {{identity.entity.name}}}'


@dataclass
class OpenBaoProvider:
    """`set_up` comes first."""

    server: OpenBaoServer
    redirect_uri: str
    client_id: str = ""
    client_secret: str = ""
    mount: str = ""
    members: dict[str, set[str]] = field(
        default_factory=lambda: {"archivists": set(), "readers": set()}
    )
    """Entities in each group."""

    @property
    def issuer(self) -> str:
        return f"{self.server.https_url}/v1/identity/oidc/provider/archive"

    @property
    def settings(self) -> dict[str, object]:
        """Of the admin module, without `ARTSTORE_`."""
        secret_file = self.server.folder / "client-secret"
        write_private(secret_file, self.client_secret)
        return {
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": self.client_id,
            "OIDC_CLIENT_SECRET_FILE": secret_file,
            "OIDC_CA_FILE": self.server.ca_file,
            "OIDC_SCOPE": "openid groups profile",
            "OIDC_ROLES": '{"archivists": "admin", "readers": "readonly"}',
        }

    def set_up(self) -> None:
        methods = self.server.client.sys
        if "userpass/" not in methods.list_auth_methods()["data"]:
            methods.enable_auth_method("userpass")
        self.mount = methods.list_auth_methods()["data"]["userpass/"]["accessor"]
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
            "issuer": self.server.https_url,
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
        context = ssl.create_default_context(cafile=self.server.ca_file)
        with httpx2.Client(base_url=self.server.https_url, verify=context, timeout=30) as client:
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
        answer = self.server.client.write_data(path, data=body)
        return answer["data"] if isinstance(answer, dict) else None

    def read(self, path: str) -> Any:
        return self.server.client.read(path)["data"]
