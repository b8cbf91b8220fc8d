"""People who sign in, as far as a test needs them to."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pyotp
from tests.support.admin import Admin

AUTH = "/api/v1/admin-auth"
PASSWORD = "nine lanterns over slow water"


@dataclass
class Person:
    """Of the role that was asked for, with a password and, once `set_up`, a one-time password."""

    admin: Admin
    user_id: str
    username: str
    password: str = PASSWORD
    secret: str = ""
    recovery_codes: tuple[str, ...] = ()
    used_step: int = 0

    @classmethod
    def new(cls, admin: Admin, role: str = "admin") -> "Person":
        name = f"person-{uuid4().hex[:8]}"
        with admin.as_account() as client:
            made = client.post("/api/v1/users", json={"username": name, "role": role})
        assert made.status_code == 201, made.text
        person = cls(admin, made.json()["user_id"], name, made.json()["password"])
        token = person.log_in().json()["access_token"]
        body = {"current_password": person.password, "new_password": PASSWORD}
        changed = person.post("change-password", token, body)
        assert changed.status_code == 200, changed.text
        person.password = PASSWORD
        return person

    @classmethod
    def ready(cls, admin: Admin, role: str = "admin") -> "Person":
        person = cls.new(admin, role)
        person.set_up()
        return person

    def set_up(self) -> dict[str, Any]:
        """The first second factor; the answer that comes with it."""
        token = self.log_in().json()["access_token"]
        self.secret = self.post("one-time-password", token).json()["secret"]
        done = self.post("one-time-password/confirm", token, {"code": self.code()})
        assert done.status_code == 200, done.text
        self.recovery_codes = tuple(done.json()["recovery_codes"])
        return dict(done.json()["signed_in"])

    def code(self) -> str:
        """One that was not used yet: of the step before now, of this one, or of the next."""
        now = int(time.time()) // 30
        self.used_step = max(self.used_step + 1, now - 1)
        if self.used_step > now + 1:
            time.sleep((self.used_step - 1) * 30 - time.time() + 0.1)
        return pyotp.TOTP(self.secret).generate_otp(self.used_step)

    def log_in(self, **more: Any) -> httpx2.Response:
        body = {"username": self.username, "password": self.password, **more}
        with self.admin.client() as client:
            return client.post(f"{AUTH}/login", json=body)

    def signed_in(self) -> dict[str, Any]:
        """With everything: access and refresh token."""
        answer = self.log_in(code=self.code())
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, token: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        with self.admin.client(Authorization=f"Bearer {token}") as client:
            return client.post(f"{AUTH}/{path}", json=body)

    def get(self, path: str, token: str) -> httpx2.Response:
        with self.admin.client(Authorization=f"Bearer {token}") as client:
            return client.get(path)
