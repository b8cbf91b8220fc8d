"""A browser on its way through the sign-in with an outside identity provider."""

from dataclasses import dataclass, field

import httpx2
from tests.support.admin import ISSUER, Admin

OIDC = "/api/v1/admin-auth/oidc"
CALLBACK = f"{OIDC}/callback"
OWN = {"Origin": ISSUER, "X-ArtStore-Request": "1"}


@dataclass
class Browser:
    """Keeps cookies, as one does, and the address of its own that tests come from."""

    admin: Admin
    cookies: dict[str, str] = field(default_factory=dict)

    def begin(self, **parameters: str) -> str:
        """Where it is sent to."""
        answer = self.ask("GET", OIDC, params=parameters)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def back(self, parameters: dict[str, str]) -> httpx2.Response:
        return self.ask("GET", CALLBACK, params=parameters)

    def finish(self, **headers: str) -> httpx2.Response:
        return self.ask("POST", f"{OIDC}/finish", headers=OWN | headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        sent = {name: value.encode() for name, value in (headers or {}).items()}
        if self.cookies:
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent["Cookie"] = cookies.encode("latin-1")
        with self.admin.client() as client:
            answer = client.request(method, path, params=params, headers=sent)
        for cookie in answer.headers.get_list("set-cookie"):
            name, _, rest = cookie.partition("=")
            value = rest.split(";")[0].strip('"')
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer
