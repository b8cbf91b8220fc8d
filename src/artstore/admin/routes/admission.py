"""HTTP face of the rules of admission, and of the quotas of accounts."""

from fastapi import APIRouter, Depends, Request, Response

from artstore.admin.dependencies import AdminDep, AdmissionPolicyDep
from artstore.admin.model import Subject
from artstore.core.model.account import Scope
from artstore.core.model.admission import AdmissionRules, Quota
from artstore.core.web.authentication import authenticate, check_peer, check_scope, peer_of

router = APIRouter(prefix="/api/v1", tags=["admission"])


async def _reader(request: Request) -> None:
    """Ingesters read this without a token, people with one."""
    peer = peer_of(request.scope)
    if peer is None or peer.module == "ingester":
        check_peer(request, "ingester")
        return
    check_scope(await authenticate(request), Scope.ADMIN_READ)


@router.get("/admission-rules", dependencies=[Depends(_reader)])
async def read_rules(policy: AdmissionPolicyDep) -> AdmissionRules:
    """Collections and accounts that are not as by default, with what was counted there."""
    return await policy.rules()


@router.put("/quotas/{subject}", status_code=204)
async def put_quota(
    subject: Subject, body: Quota, _: AdminDep, policy: AdmissionPolicyDep
) -> Response:
    """How much a person or account may have, over all collections."""
    await policy.put_quota(subject, body)
    return Response(status_code=204)


@router.delete("/quotas/{subject}", status_code=204)
async def remove_quota(subject: Subject, _: AdminDep, policy: AdmissionPolicyDep) -> Response:
    await policy.remove_quota(subject)
    return Response(status_code=204)
