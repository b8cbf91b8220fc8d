"""HTTP face of people, as administrators manage them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from artstore.admin.dependencies import LimitParam, PeopleDep, require_recent_proof
from artstore.admin.model import AccountState, User, Username
from artstore.admin.services.identity.people import OneTimePassword
from artstore.core.model.account import Scope, UserRole
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope, require_scope_everywhere

router = APIRouter(prefix="/api/v1/users", tags=["people"])
_read = [Depends(require_scope(Scope.ADMIN_READ))]
_write = [Depends(require_recent_proof(require_scope_everywhere(Scope.USERS_WRITE)))]

AfterName = Annotated[str, Query(alias="cursor", pattern=r"^[A-Za-z0-9._@-]{0,128}$")]


class NewUser(BaseModel):
    username: Username
    role: UserRole


class UserChange(BaseModel):
    """What is not named stays."""

    model_config = ConfigDict(extra="forbid")

    role: UserRole = UserRole.READONLY
    state: AccountState = "active"
    restricted: bool = False


class UserWithPassword(User):
    password: str | None
    """`null` for people who sign in at an outside identity provider."""


@router.post("", status_code=201, dependencies=_write)
async def create(body: NewUser, people: PeopleDep, response: Response) -> UserWithPassword:
    """The password is shown this once, and is good for choosing another one only."""
    return _shown_once(await people.create(body.username, body.role), response)


@router.get("", dependencies=_read)
async def list_users(
    people: PeopleDep, after: AfterName = "", limit: LimitParam = 100
) -> Page[User]:
    found = await people.page(after, limit)
    return Page(items=found, next_cursor=found[-1].username if len(found) == limit else None)


@router.get("/{user_id}", dependencies=_read)
async def read_user(user_id: UUID, people: PeopleDep) -> User:
    return await people.get(user_id)


@router.patch("/{user_id}", dependencies=_write)
async def change_user(user_id: UUID, body: UserChange, people: PeopleDep) -> User:
    """Their sessions end."""
    return await people.change(user_id, body.model_dump(exclude_unset=True))


@router.delete("/{user_id}", dependencies=_write)
async def suspend(user_id: UUID, people: PeopleDep) -> User:
    """People are never erased: records of decades name them."""
    return await people.change(user_id, {"state": "suspended"})


@router.post("/{user_id}/reset", dependencies=_write)
async def reset(user_id: UUID, people: PeopleDep, response: Response) -> UserWithPassword:
    """A new one-time password; second factors have to be set up again."""
    return _shown_once(await people.reset(user_id), response)


def _shown_once(made: OneTimePassword, response: Response) -> UserWithPassword:
    response.headers["Cache-Control"] = "no-store"
    return UserWithPassword(**dict(made.user), password=made.password)
