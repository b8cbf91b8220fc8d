"""People prove who they are: password, then second factor, then they have a session.

What is missing decides which token they get meanwhile, and each is good for its one step only:
changing a one-time password, setting up a second factor, proving one. Whatever is wrong, the
answer and the time it takes are the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import User
from artstore.admin.repository import grants, users
from artstore.admin.repository.users import UserWithPassword
from artstore.admin.services.audit.attempts import Attempts
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.services.identity.passwords import check_password
from artstore.admin.services.identity.proving import Proving, refusal
from artstore.admin.services.identity.revocation import Revocations
from artstore.admin.services.identity.second_factors import Proof, SecondFactors
from artstore.admin.services.identity.sessions import (
    LIFETIME,
    LIFETIME_FROM_OUTSIDE,
    OpenSession,
    Sessions,
)
from artstore.admin.services.identity.throttle import Attempt
from artstore.admin.services.identity.tokens import (
    AccessToken,
    Holder,
    PersonalSession,
    TokenIssuer,
)
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import InvalidCredentials, InvalidToken, NotPermitted, WeakPassword
from artstore.core.metrics import LOGINS
from artstore.core.model.account import USER_SCOPES, Caller, Scope, UserRole
from artstore.core.model.audit import AuditKind, Target

FROM_OUTSIDE: Final = "oidc"
"""As a method; RFC 8176 has no word for it."""
CLIENT_ID = "admin-auth"
"""RFC 9068 wants a client id in every token; people have none of their own."""


@dataclass(frozen=True)
class SignedIn:
    access: AccessToken
    refresh_token: str | None = None
    """`None` while a step is missing."""


@dataclass(frozen=True)
class FactorSetUp:
    recovery_codes: list[str]
    """With the first factor; shown this once."""
    signed_in: SignedIn | None
    """Of somebody for whom this was the last step of signing in."""


Enrol = Callable[[AsyncSession, User], Awaitable[str]]
"""Keeps a new factor; answers with its method."""


@dataclass(frozen=True)
class Tools:
    """What signing in is made of."""

    database: Database
    hasher: SecretHasher
    proving: Proving
    issuer: TokenIssuer
    sessions: Sessions
    factors: SecondFactors
    revocations: Revocations
    clock: Clock
    trail: Trail


class PeopleSignIn:
    """Opens short transactions of its own: none stays open while argon2 works."""

    def __init__(self, tools: Tools, factor_needed_by: Collection[UserRole]) -> None:
        """`factor_needed_by`: roles whose people may do nothing without a second factor."""
        self._tools = tools
        self._factor_needed_by = frozenset(factor_needed_by)
        self._attempts = Attempts(tools.database, tools.trail)

    async def log_in(self, username: str, password: str, code: str | None, who: Who) -> SignedIn:
        """`code`: of the second factor, if the client asked for it at once.

        Raises:
            InvalidCredentials: Unknown, suspended, wrong password or wrong code.
            TooManyRequests: After too many failures.
        """
        who = who.named(username)
        async with self._attempts.watched(AuditKind.SIGN_IN, who) as attempted:
            user = (await self._proven(await self._find(username), username, password, who)).user
            attempted.subject = user.subject
            signed_in = await self._next_step(user, code, who)
        LOGINS.labels("succeeded").inc()
        return signed_in

    async def vouched_for(
        self, user: User, proven_at: datetime, *, has_second_factor: bool
    ) -> SignedIn:
        """Somebody whose identity the outside provider has just confirmed.

        `has_second_factor`: the provider asked for one, and by the settings that is enough.
        """
        if not has_second_factor:
            return await self._factor_step(user, None, Who(), proven_at)
        return await self._begin(user, {FROM_OUTSIDE, "mfa"}, proven_at)

    async def prove_second_factor(self, caller: Caller, proof: Proof, who: Who) -> SignedIn:
        """The second half of `log_in`.

        Raises:
            InvalidCredentials: It proves nothing.
            TooManyRequests: After too many failures.
        """
        who = who.proven(caller)
        async with self._attempts.watched(AuditKind.SECOND_FACTOR, who) as attempted:
            attempted.subject = caller.subject
            user = (await self._find_caller(caller)).user
            return await self._begin_with(user, proof, who)

    async def step_up(self, caller: Caller, proof: Proof, who: Who) -> SignedIn:
        """A new access token of the same session, fresh enough for what is dangerous.

        Raises:
            InvalidCredentials: It proves nothing.
            InvalidToken: The session has ended, or its time is over.
            TooManyRequests: After too many failures.
        """
        who = who.proven(caller)
        async with self._attempts.watched(AuditKind.SECOND_FACTOR, who) as attempted:
            attempted.subject = caller.subject
            user = (await self._find_caller(caller)).user
            await self._admit_code(user, who)
            tools = self._tools
            async with tools.database.session() as session:
                shown = await tools.sessions.current(session, caller.session_id)
                method = await tools.factors.prove(session, user, proof)
                shown = await tools.sessions.proven_again(session, shown, method)
                access = await self._full_token(session, OpenSession(user, shown, ""))
            await tools.proving.succeeded(_code_attempt(user, who))
        return SignedIn(access)

    async def refresh(self, refresh_token: str, who: Who) -> SignedIn:
        """
        Raises:
            InvalidToken: It is not the one good refresh token of a session.
        """
        opened = await self._tools.sessions.refresh(refresh_token, who)
        async with self._tools.database.session() as session:
            access = await self._full_token(session, opened)
        return SignedIn(access, opened.refresh_token)

    async def log_out(self, caller: Caller, who: Who) -> None:
        """The session ends; its tokens are worth nothing within a second.

        Raises:
            NotPermitted: A machine's token.
        """
        user_id_of(caller)
        tools = self._tools
        async with tools.database.session() as session:
            shown = await tools.sessions.current(session, caller.session_id)
            await tools.sessions.end(session, shown.session_id, caller.subject, "signed out")
            target = Target(type="session", id=str(shown.session_id))
            deed = Deed(AuditKind.SIGN_OUT, target=target)
            await tools.trail.record(session, who.proven(caller), deed)
        await tools.revocations.committed(session)

    async def change_password(
        self, caller: Caller, password: str, new_password: str, who: Who
    ) -> SignedIn:
        """A new password, and whatever step comes next. All sessions end.

        Raises:
            InvalidCredentials: `password` is not the present one.
            WeakPassword: The new one is too short, common, or the present one again.
            TooManyRequests: After too many failures.
        """
        who = who.proven(caller)
        async with self._attempts.refusals(AuditKind.SECRET_CHANGED, who):
            found = await self._find_caller(caller)
            await self._proven(found, found.user.username, password, who)
            if new_password == password:
                raise WeakPassword("the new password must differ from the present one")
            await asyncio.to_thread(check_password, new_password, found.user.username)
            user = await self._save_password(found, new_password, who)
        if caller.session_id is not None:
            # A password is no second factor: what was proven is as old as it was.
            return await self._begin(user, caller.methods, caller.authenticated_at)
        return await self._next_step(user, None, who)

    async def me(self, caller: Caller) -> User:
        """
        Raises:
            NotPermitted: A machine's token.
            InvalidToken: The user is no more.
        """
        return (await self._find_caller(caller)).user

    async def set_up_one_time_password(self, caller: Caller, code: str, who: Who) -> FactorSetUp:
        """
        Raises:
            InvalidCredentials: Not a code of the secret that was offered.
            TooManyRequests: After too many failures.
        """

        async def enrol(session: AsyncSession, user: User) -> str:
            await self._tools.factors.confirm_one_time_password(session, user, code)
            return "otp"

        return await self._set_up(caller, who, enrol)

    async def set_up_passkey(
        self, caller: Caller, proof: Proof, name: str, who: Who
    ) -> FactorSetUp:
        """
        Raises:
            InvalidCredentials: It answers no challenge of ours, or not as it should.
            NameTaken: This authenticator is registered already.
        """

        async def enrol(session: AsyncSession, user: User) -> str:
            await self._tools.factors.register(session, user, proof, name)
            return "hwk"

        return await self._set_up(caller, who, enrol)

    async def _set_up(self, caller: Caller, who: Who, enrol: Enrol) -> FactorSetUp:
        user, tools = (await self._find_caller(caller)).user, self._tools
        who, on_the_way_in = who.proven(caller), Scope.SECOND_FACTOR_SET_UP in caller.scopes
        async with self._attempts.refusals(AuditKind.SECOND_FACTOR, who):
            await self._admit_code(user, who)
            async with tools.database.session() as session:
                is_first = not await tools.factors.has_any(session, user)
                if on_the_way_in and not is_first:
                    # The password alone was enough for this token; it is not any more.
                    raise InvalidToken
                method = await enrol(session, user)
                codes = await tools.factors.new_recovery_codes(session, user) if is_first else []
                signed_in = None
                if on_the_way_in:
                    signed_in = await self._begin_in(session, user, {_first(user), method})
                target = Target(type="user", id=str(user.user_id))
                deed = Deed(AuditKind.SECRET_CHANGED, target=target, details={"added": method})
                await tools.trail.record(session, who, deed)
            await tools.proving.succeeded(_code_attempt(user, who))
        return FactorSetUp(codes, signed_in)

    # --- steps -------------------------------------------------------------------------

    async def _next_step(self, user: User, code: str | None, who: Who) -> SignedIn:
        if user.password_change_required:
            return await self._step_token(user, Scope.PASSWORD_CHANGE)
        return await self._factor_step(user, code, who)

    async def _factor_step(
        self, user: User, code: str | None, who: Who, proven_at: datetime | None = None
    ) -> SignedIn:
        async with self._tools.database.session() as session:
            has_factor = await self._tools.factors.has_any(session, user)
        if has_factor and code:
            return await self._begin_with(user, Proof(code=code), who)
        if has_factor:
            return await self._step_token(user, Scope.SECOND_FACTOR_PROVE)
        if user.role in self._factor_needed_by:
            return await self._step_token(user, Scope.SECOND_FACTOR_SET_UP)
        return await self._begin(user, {_first(user)}, proven_at)

    async def _begin_with(self, user: User, proof: Proof, who: Who) -> SignedIn:
        await self._admit_code(user, who)
        tools = self._tools
        async with tools.database.session() as session:
            method = await tools.factors.prove(session, user, proof)
            signed_in = await self._begin_in(session, user, {_first(user), method})
        await tools.proving.succeeded(_code_attempt(user, who))
        return signed_in

    async def _begin(
        self, user: User, methods: Collection[str], proven_at: datetime | None = None
    ) -> SignedIn:
        async with self._tools.database.session() as session:
            return await self._begin_in(session, user, methods, proven_at)

    async def _begin_in(
        self,
        session: AsyncSession,
        user: User,
        methods: Collection[str],
        proven_at: datetime | None = None,
    ) -> SignedIn:
        lifetime = LIFETIME_FROM_OUTSIDE if user.provider else LIFETIME
        opened = await self._tools.sessions.begin(
            session, user, methods, proven_at=proven_at, lifetime=lifetime
        )
        return SignedIn(await self._full_token(session, opened), opened.refresh_token)

    async def _full_token(self, session: AsyncSession, opened: OpenSession) -> AccessToken:
        user, shown = opened.user, opened.shown
        granted = await grants.of_subject(session, user.subject) if user.restricted else None
        personal = PersonalSession(str(shown.session_id), shown.methods, shown.authenticated_at)
        holder = Holder(
            user.subject,
            CLIENT_ID,
            user.username,
            user.token_epoch,
            grants=granted,
            session=personal,
        )
        return await self._tools.issuer.issue(holder, USER_SCOPES[user.role])

    async def _step_token(self, user: User, scope: Scope) -> SignedIn:
        holder = Holder(user.subject, CLIENT_ID, user.username, user.token_epoch)
        return SignedIn(await self._tools.issuer.issue(holder, {scope}))

    # --- proofs ------------------------------------------------------------------------

    async def _find(self, username: str) -> UserWithPassword | None:
        async with self._tools.database.session() as session:
            return await users.find(session, username)

    async def _find_caller(self, caller: Caller) -> UserWithPassword:
        user_id = user_id_of(caller)
        async with self._tools.database.session() as session:
            found = await users.find_by_id(session, user_id)
        if found is None or found.user.state != "active":
            raise InvalidToken
        return found

    async def _proven(
        self, found: UserWithPassword | None, username: str, password: str, who: Who
    ) -> UserWithPassword:
        # As `users.find` reads it: each spelling would have free attempts of its own.
        attempt = Attempt(f"person {username.lower()}", who.place)
        proving = self._tools.proving
        await proving.prove(found.password_hash if found else None, password, attempt)
        if found is None or found.user.state != "active":
            raise refusal()
        await proving.succeeded(attempt)
        return found

    async def _admit_code(self, user: User, who: Who) -> None:
        await self._tools.proving.admit(_code_attempt(user, who))

    async def _save_password(self, found: UserWithPassword, new_password: str, who: Who) -> User:
        tools = self._tools
        new_hash = await tools.hasher.hash(new_password)
        values = {
            "password_hash": new_hash,
            "password_change_required": False,
            "password_changed_at": tools.clock.now(),
        }
        async with tools.database.session() as session:
            user_id, old_hash = found.user.user_id, found.password_hash
            changed = await users.change_password(session, user_id, old_hash, values)
            if changed is None:
                raise InvalidCredentials  # Somebody else changed it a moment ago.
            await tools.sessions.end_all(session, changed, changed.subject, "password changed")
            target = Target(type="user", id=str(changed.user_id))
            await tools.trail.record(session, who, Deed(AuditKind.SECRET_CHANGED, target=target))
            renewed = await users.find_by_id(session, user_id)
        await tools.revocations.committed(session)
        assert renewed is not None, "it was changed in this transaction"
        return renewed.user


def user_id_of(caller: Caller) -> UUID:
    """
    Raises:
        NotPermitted: A machine's token.
    """
    kind, _, identifier = caller.subject.partition(":")
    if kind != "user":
        raise NotPermitted("this is for people; a service account has nothing here")
    return UUID(identifier)


def _first(user: User) -> str:
    """How people prove who they are before any second factor."""
    return FROM_OUTSIDE if user.provider else "pwd"


def _code_attempt(user: User, who: Who) -> Attempt:
    return Attempt(f"code {user.username}", who.place, counts_everywhere=True)
