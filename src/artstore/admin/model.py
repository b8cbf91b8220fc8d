"""What the admin module keeps, as its routes show it. No secret and no hash is ever in here."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from artstore.core.model.account import AccountRole, ClientId, Grant, UserRole
from artstore.core.model.element import DrainState, ElementEntry
from artstore.core.model.findings import SUBJECT, WITHOUT_NUL

AccountState = Literal["active", "suspended"]
Username = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$")
]
Remark = Annotated[str, StringConstraints(pattern=WITHOUT_NUL)]
"""What somebody wrote. PostgreSQL keeps no NUL."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class ServiceAccount(_Model):
    account_id: UUID
    client_id: ClientId
    role: AccountRole
    state: AccountState
    created_at: datetime
    created_by: str
    secret_changed_at: datetime
    previous_secret_until: datetime | None = None
    """Until then the secret before is good too."""
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    """When it last got a token, to the minute."""
    requests_per_minute: int | None = None
    restricted: bool = False
    """It may do what its grants say, and nothing else."""
    token_epoch: int = Field(default=0, exclude=True)

    @property
    def subject(self) -> str:
        return f"account:{self.account_id}"

    def is_usable(self, now: datetime) -> bool:
        return self.state == "active" and (self.expires_at is None or now < self.expires_at)


class User(_Model):
    user_id: UUID
    username: str
    role: UserRole
    state: AccountState
    password_change_required: bool
    created_at: datetime
    password_changed_at: datetime
    last_used_at: datetime | None = None
    restricted: bool = False
    provider: str | None = None
    """The outside identity provider that vouches for them, by its issuer; they have no password
    here."""
    token_epoch: int = Field(default=0, exclude=True)

    @property
    def subject(self) -> str:
        return f"user:{self.user_id}"


class PersonSession(_Model):
    """Of a person who signed in."""

    session_id: UUID
    user_id: UUID
    methods: frozenset[str]
    """How they proved who they are: `amr` of RFC 8176."""
    authenticated_at: datetime
    created_at: datetime
    last_used_at: datetime
    ends_at: datetime


class Passkey(_Model):
    passkey_id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


Subject = Annotated[str, StringConstraints(pattern=SUBJECT)]


class SubjectGrant(Grant):
    """Who may do what in a collection."""

    subject: Subject
    granted_at: datetime
    granted_by: str


class SigningKeyInfo(_Model):
    """A signing key as operators see it."""

    kid: str
    state: Literal["next", "active", "passive"]
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None


class StorageElement(ElementEntry):
    """A registered element and how far the catalogue follows it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    state: Literal["new", "listing", "following"]
    feed_id: str | None
    position_seq: int
    generation: int
    rebuilds: int
    trouble: str | None
    last_seen: datetime | None
    complete_until: datetime | None
    """All that the element stored before this moment is in the catalogue."""
    drain: DrainState
