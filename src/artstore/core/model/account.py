"""Who acts, and what they may do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from artstore.core.errors import NotPermitted
from artstore.core.model.findings import NAME
from artstore.core.model.ids import CollectionName


class Scope(StrEnum):
    """What a token allows."""

    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    FILES_DELETE = "files:delete"
    AUDIT_READ = "audit:read"
    MONITORING_READ = "monitoring:read"
    """See Prometheus, AlertManager and Grafana."""
    ADMIN_READ = "admin:read"
    ADMIN_WRITE = "admin:write"
    USERS_WRITE = "users:write"
    """Manage people: who has it can make themselves anything."""
    PASSWORD_CHANGE = "password:change"  # noqa: S105  a scope's name, not a password
    SECOND_FACTOR_SET_UP = "second-factor:set-up"
    """All that people may do who need a second factor and have none yet."""
    SECOND_FACTOR_PROVE = "second-factor:prove"
    """All that people may do whose password was right and who have a second factor."""


class Right(StrEnum):
    """What a grant allows in one collection. The scopes of the role bound it from above."""

    READ = "read"
    WRITE = "write"
    """Upload into it; change names, tags and metadata."""
    DELETE = "delete"
    MANAGE = "manage"
    """Change the collection itself."""


class AccountRole(StrEnum):
    """Roles of service accounts."""

    ADMIN = "admin"
    USER = "user"
    AUDITOR = "auditor"
    READONLY = "readonly"


class UserRole(StrEnum):
    """Roles of people."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    AUDITOR = "auditor"
    READONLY = "readonly"


SIGN_IN_SCOPES: Final = frozenset(
    {Scope.PASSWORD_CHANGE, Scope.SECOND_FACTOR_SET_UP, Scope.SECOND_FACTOR_PROVE}
)
"""Good for steps on the way in, and part of no role."""
_EVERYTHING: Final = frozenset(Scope) - SIGN_IN_SCOPES
_FILES: Final = frozenset({Scope.FILES_READ, Scope.FILES_WRITE, Scope.FILES_DELETE})
_AUDITING: Final = frozenset(
    {Scope.FILES_READ, Scope.AUDIT_READ, Scope.ADMIN_READ, Scope.MONITORING_READ}
)

ACCOUNT_SCOPES: Final[dict[AccountRole, frozenset[Scope]]] = {
    AccountRole.ADMIN: _EVERYTHING,
    AccountRole.USER: _FILES,
    AccountRole.AUDITOR: _AUDITING,
    AccountRole.READONLY: frozenset({Scope.FILES_READ}),
}

USER_SCOPES: Final[dict[UserRole, frozenset[Scope]]] = {
    UserRole.SUPER_ADMIN: _EVERYTHING,
    UserRole.ADMIN: _EVERYTHING - {Scope.USERS_WRITE},
    UserRole.AUDITOR: _AUDITING,
    UserRole.READONLY: frozenset({Scope.FILES_READ, Scope.ADMIN_READ}),
}

ClientId = Annotated[str, StringConstraints(pattern=NAME)]


class Grant(BaseModel):
    """Rights in one collection, perhaps until a moment."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    collection: CollectionName
    rights: frozenset[Right] = Field(min_length=1)
    ends_at: datetime | None = None

    def holds(self, right: Right, now: datetime) -> bool:
        return right in self.rights and (self.ends_at is None or now < self.ends_at)


class Caller(BaseModel):
    """Whoever a verified token speaks for."""

    model_config = ConfigDict(frozen=True)

    subject: str
    """Stable id of the person or account."""
    name: str
    """What people read: user name or client id."""
    scopes: frozenset[Scope]
    token_id: str
    expires_at: datetime
    issued_at: datetime = datetime.fromtimestamp(0, UTC)
    key_id: str = ""
    """Of the key that signed."""
    epoch: int = 0
    """Tokens of earlier epochs of the subject were revoked together."""
    session_id: str | None = None
    certificate: str | None = None
    """Thumbprint of the one client certificate that may show this token (RFC 8705)."""
    grants: Mapping[str, Grant] | None = None
    """By collection; `None`: the scopes hold in all collections."""
    requests_per_minute: int | None = None
    methods: frozenset[str] = frozenset()
    """How a person proved who they are: `amr` of RFC 8176."""
    authenticated_at: datetime | None = None

    def may(self, right: Right, collection: str, now: datetime) -> bool:
        if self.grants is None:
            return True
        grant = self.grants.get(collection)
        return grant is not None and grant.holds(right, now)

    def check(self, right: Right, collection: str, now: datetime) -> None:
        """
        Raises:
            NotPermitted: The right is not granted there, or not any more.
        """
        if not self.may(right, collection, now):
            raise NotPermitted(
                f"this needs the right to {right} in the collection {collection}",
                required_right=right,
            )

    def collections(self, right: Right, now: datetime) -> frozenset[str] | None:
        """Those where the caller has the right; `None`: all."""
        if self.grants is None:
            return None
        return frozenset(name for name in self.grants if self.may(right, name, now))
