"""What routes get: built once in `resources`, handed over by the request's application."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.resources import Resources
from artstore.admin.services.admission import AdmissionPolicy
from artstore.admin.services.audit.erasure import Erasure
from artstore.admin.services.audit.intake import ReportIntake
from artstore.admin.services.audit.intents import Intents
from artstore.admin.services.audit.reading import AuditLog
from artstore.admin.services.audit.receipt_keys import ReceiptKeys
from artstore.admin.services.audit.trail import BoundTrail, Trail, Who
from artstore.admin.services.background import Background
from artstore.admin.services.catalogue.files import Files
from artstore.admin.services.catalogue.registry import Registry
from artstore.admin.services.catalogue.status import Catalogue
from artstore.admin.services.collections import Collections
from artstore.admin.services.elements import Elements
from artstore.admin.services.identity.grants import Grants
from artstore.admin.services.identity.people import People
from artstore.admin.services.identity.people_sign_in import PeopleSignIn
from artstore.admin.services.identity.service_accounts import ServiceAccounts
from artstore.admin.services.identity.sign_in import SignIn
from artstore.admin.services.restoring.asking import Restores
from artstore.core.errors import NotPermitted, StepUpRequired
from artstore.core.model.account import SIGN_IN_SCOPES, Caller, Scope
from artstore.core.model.findings import NAME
from artstore.core.web.asking import who_asks
from artstore.core.web.authentication import authenticate, require_scope, require_scope_everywhere

PAGE_ITEMS_MAX: Final = 1000
PROOF_AGE_MAX: Final = timedelta(minutes=10)
"""Of a person's proof, before something dangerous."""


def resources(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


ResourcesDep = Annotated[Resources, Depends(resources)]


async def _session(parts: ResourcesDep) -> AsyncIterator[AsyncSession]:
    async with parts.database.session() as session:
        yield session
    await parts.revocations.committed(session)


# `function`: the commit comes before the answer, so that a failed one is not told as a success.
SessionDep = Annotated[AsyncSession, Depends(_session, scope="function")]


def _trail(parts: ResourcesDep) -> Trail:
    return parts.trail


def _audit(parts: ResourcesDep) -> AuditLog:
    return parts.audit


def _receipt_keys(parts: ResourcesDep) -> ReceiptKeys:
    return parts.receipt_keys


def _sign_in(parts: ResourcesDep) -> SignIn:
    return parts.sign_in


async def _bound_trail(request: Request, session: SessionDep, parts: ResourcesDep) -> BoundTrail:
    """Whoever has a valid token is named; a service that needs none is not."""
    who = who_asks(request)
    if "authorization" in request.headers:
        who = who.proven(await authenticate(request))
    return BoundTrail(parts.trail, session, who)


BoundTrailDep = Annotated[BoundTrail, Depends(_bound_trail)]


def _report_intake(parts: ResourcesDep) -> ReportIntake:
    return ReportIntake(parts.database, parts.trail)


def _erasure(parts: ResourcesDep) -> Erasure:
    return Erasure(parts.database, parts.trail)


def _registry(session: SessionDep, audit: BoundTrailDep) -> Registry:
    return Registry(session, audit)


def _elements(parts: ResourcesDep) -> Elements:
    return Elements(parts.database, parts.element_client, parts.element_control, parts.trail)


def _collections(session: SessionDep, audit: BoundTrailDep, parts: ResourcesDep) -> Collections:
    return Collections(session, audit, parts.clock)


def _admission(session: SessionDep, audit: BoundTrailDep) -> AdmissionPolicy:
    return AdmissionPolicy(session, audit)


def _background(session: SessionDep, audit: BoundTrailDep) -> Background:
    return Background(session, audit)


def _accounts(session: SessionDep, parts: ResourcesDep, audit: BoundTrailDep) -> ServiceAccounts:
    return ServiceAccounts(session, parts.hasher, parts.revocations, parts.clock, audit)


def _people_sign_in(parts: ResourcesDep) -> PeopleSignIn:
    return parts.people


def _people(session: SessionDep, parts: ResourcesDep, audit: BoundTrailDep) -> People:
    return People(session, parts.hasher, parts.sessions, parts.factors, parts.clock, audit=audit)


def check_recent_proof(caller: Caller, parts: Resources) -> None:
    """
    Raises:
        StepUpRequired: A person, who proved a while ago who they are.
    """
    if caller.session_id is None and not caller.subject.startswith("user:"):
        return  # A machine has nothing else to show.
    proven_at = caller.authenticated_at
    if proven_at is None or parts.clock.now() - proven_at > PROOF_AGE_MAX:
        raise StepUpRequired("prove again who you are, at /api/v1/admin-auth/step-up")


def require_recent_proof(
    holds: Callable[[Request], Awaitable[Caller]],
) -> Callable[..., Awaitable[Caller]]:
    """A dependency for what is dangerous: what `holds` demands, and a person's fresh proof."""

    async def dependency(caller: Annotated[Caller, Depends(holds)], parts: ResourcesDep) -> Caller:
        check_recent_proof(caller, parts)
        return caller

    return dependency


def _grants(session: SessionDep, parts: ResourcesDep, audit: BoundTrailDep) -> Grants:
    return Grants(session, parts.revocations, parts.clock, audit)


def _files(parts: ResourcesDep) -> Files:
    return Files(parts.database, parts.element_client, Intents(parts.database, parts.trail))


def _restores(parts: ResourcesDep) -> Restores:
    return Restores(
        parts.database, _files(parts), parts.element_views, parts.element_control, parts.trail
    )


def _catalogue(parts: ResourcesDep) -> Catalogue:
    return Catalogue(parts.database, parts.element_client, parts.trail)


ErasureDep = Annotated[Erasure, Depends(_erasure)]
ReportIntakeDep = Annotated[ReportIntake, Depends(_report_intake)]
TrailDep = Annotated[Trail, Depends(_trail)]
ReceiptKeysDep = Annotated[ReceiptKeys, Depends(_receipt_keys)]
AuditDep = Annotated[AuditLog, Depends(_audit)]
WhoDep = Annotated[Who, Depends(who_asks)]
FilesDep = Annotated[Files, Depends(_files)]
RestoresDep = Annotated[Restores, Depends(_restores)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
RegistryDep = Annotated[Registry, Depends(_registry)]
ElementsDep = Annotated[Elements, Depends(_elements)]
CollectionsDep = Annotated[Collections, Depends(_collections)]
AdmissionPolicyDep = Annotated[AdmissionPolicy, Depends(_admission)]
BackgroundDep = Annotated[Background, Depends(_background)]
ServiceAccountsDep = Annotated[ServiceAccounts, Depends(_accounts)]
GrantsDep = Annotated[Grants, Depends(_grants)]
PeopleSignInDep = Annotated[PeopleSignIn, Depends(_people_sign_in)]
PeopleDep = Annotated[People, Depends(_people)]
SignInDep = Annotated[SignIn, Depends(_sign_in)]
CallerDep = Annotated[Caller, Depends(authenticate)]


async def _signed_in(caller: CallerDep) -> Caller:
    """Not halfway: the password alone shows, changes and ends nothing."""
    if caller.scopes <= SIGN_IN_SCOPES:
        raise NotPermitted("finish signing in first")
    return caller


SignedInDep = Annotated[Caller, Depends(_signed_in)]
_admin = require_scope_everywhere(Scope.ADMIN_WRITE)
AdminDep = Annotated[Caller, Depends(_admin)]
FreshAdminDep = Annotated[Caller, Depends(require_recent_proof(_admin))]
"""For what is dangerous: a person has proven a short while ago who they are."""
FreshManagerDep = Annotated[Caller, Depends(require_recent_proof(require_scope(Scope.ADMIN_WRITE)))]
"""The same, also of somebody who may do it in some collections only: ask which."""

NamePath = Annotated[str, Path(pattern=NAME)]
"""Client ids and element ids."""
AfterParam = Annotated[str, Query(alias="cursor", pattern=r"^[a-z0-9._-]{0,63}$")]
LimitParam = Annotated[int, Query(ge=1, le=PAGE_ITEMS_MAX)]
