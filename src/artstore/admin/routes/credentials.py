"""What a rotation tells: which credential of the installation was replaced, and how old each is."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from artstore.admin.dependencies import BoundTrailDep, FreshAdminDep
from artstore.admin.services.audit.trail import Deed
from artstore.core.metrics import SECRET_CHANGED
from artstore.core.model.audit import AuditKind, Target, moment_text
from artstore.core.model.moments import Moment

router = APIRouter(prefix="/api/v1/credentials", tags=["credentials"])

CredentialName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/#-]{0,127}$")]


class CredentialReport(BaseModel):
    name: CredentialName
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,32}$")]
    changed_at: Moment
    rotation_began_at: Moment | None = None
    """A rotation that is done now. The same moment twice is the same rotation, told twice."""


@router.post("/report", status_code=204)
async def take_report(body: CredentialReport, _caller: FreshAdminDep, audit: BoundTrailDep) -> None:
    """Never a secret: its name and its age."""
    SECRET_CHANGED.labels(body.name).set(body.changed_at.timestamp())
    if body.rotation_began_at is not None:
        target = Target(type="credential", id=body.name)
        details = {
            "credential_kind": body.kind,
            "rotation_began_at": moment_text(body.rotation_began_at),
        }
        await audit.record(Deed(AuditKind.SECRET_CHANGED, target=target, details=details))
