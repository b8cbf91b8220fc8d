"""Who acts, and what they may do."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints


class Scope(StrEnum):
    """What a token allows."""

    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    FILES_DELETE = "files:delete"
    AUDIT_READ = "audit:read"
    ADMIN_READ = "admin:read"
    ADMIN_WRITE = "admin:write"
    PASSWORD_CHANGE = "password:change"  # noqa: S105  a scope's name, not a password


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


_EVERYTHING: Final = frozenset(Scope) - {Scope.PASSWORD_CHANGE}
_FILES: Final = frozenset({Scope.FILES_READ, Scope.FILES_WRITE, Scope.FILES_DELETE})

ACCOUNT_SCOPES: Final[dict[AccountRole, frozenset[Scope]]] = {
    AccountRole.ADMIN: _EVERYTHING,
    AccountRole.USER: _FILES,
    AccountRole.AUDITOR: frozenset({Scope.FILES_READ, Scope.AUDIT_READ, Scope.ADMIN_READ}),
    AccountRole.READONLY: frozenset({Scope.FILES_READ}),
}

USER_SCOPES: Final[dict[UserRole, frozenset[Scope]]] = {
    UserRole.SUPER_ADMIN: _EVERYTHING,
    UserRole.ADMIN: _EVERYTHING,
    UserRole.AUDITOR: frozenset({Scope.FILES_READ, Scope.AUDIT_READ, Scope.ADMIN_READ}),
    UserRole.READONLY: frozenset({Scope.FILES_READ, Scope.ADMIN_READ}),
}

ClientId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


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
