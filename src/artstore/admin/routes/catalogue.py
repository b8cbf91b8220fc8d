"""HTTP face of the catalogue as a whole."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from artstore.admin.dependencies import AdminDep, CatalogueDep, WhoDep
from artstore.admin.services.catalogue.status import CatalogueStatus
from artstore.core.model.account import Scope
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/catalogue", tags=["catalogue"])


class RebuildOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_scratch: bool = False
    """Remove all rows first. In place, files stay findable meanwhile."""


@router.get("", dependencies=[Depends(require_scope(Scope.ADMIN_READ))])
async def read_status(catalogue: CatalogueDep) -> CatalogueStatus:
    return await catalogue.status()


@router.post("/rebuild", status_code=202)
async def rebuild(
    body: RebuildOrder, caller: AdminDep, catalogue: CatalogueDep, who: WhoDep
) -> CatalogueStatus:
    """Ask `GET /catalogue` how far it is."""
    await catalogue.rebuild(from_scratch=body.from_scratch, ordered_by=who.proven(caller))
    return await catalogue.status()
