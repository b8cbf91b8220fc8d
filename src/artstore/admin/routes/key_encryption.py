"""HTTP face of the key-encryption key, for the process that replaces it. Never the key itself."""

from fastapi import APIRouter
from pydantic import BaseModel

from artstore.admin.dependencies import FreshAdminDep, ResourcesDep
from artstore.admin.resources import Resources
from artstore.admin.services.identity.outside.sign_in import REQUEST_LIFETIME
from artstore.admin.services.identity.resealing import reseal

router = APIRouter(prefix="/api/v1/key-encryption", tags=["identity"])


class KeyEncryption(BaseModel):
    keys: list[str]
    """Ids: of the one that seals, and behind it of one that only opens."""
    former_needed_s: int
    """So long after a change somebody may still bring what the former one sealed."""


class Resealed(KeyEncryption):
    resealed: int
    """Rows that another key had sealed."""
    unreadable: int
    """Rows that no key of ours opens."""


@router.get("")
async def key_encryption(parts: ResourcesDep, _caller: FreshAdminDep) -> KeyEncryption:
    return KeyEncryption(keys=parts.seal.key_ids, former_needed_s=_needed_s(parts))


@router.post("/reseal")
async def reseal_everything(parts: ResourcesDep, _caller: FreshAdminDep) -> Resealed:
    counts = await reseal(parts.database, parts.seal)
    return Resealed(
        keys=parts.seal.key_ids,
        former_needed_s=_needed_s(parts),
        resealed=counts.resealed,
        unreadable=counts.unreadable,
    )


def _needed_s(parts: Resources) -> int:
    """Browsers carry sealed tickets through a sign-in at an outside provider."""
    return int(REQUEST_LIFETIME.total_seconds()) if parts.outside else 0
