"""What the admin module keeps, as its routes show it. No secret and no hash is ever in here."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

from artstore.core.model.account import AccountRole, ClientId, UserRole
from artstore.core.model.element import DrainState, ElementEntry

AccountState = Literal["active", "suspended"]
Username = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$")
]


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

    @property
    def subject(self) -> str:
        return f"account:{self.account_id}"


class User(_Model):
    user_id: UUID
    username: str
    role: UserRole
    state: AccountState
    password_change_required: bool
    created_at: datetime
    password_changed_at: datetime

    @property
    def subject(self) -> str:
        return f"user:{self.user_id}"


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
