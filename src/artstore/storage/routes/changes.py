"""HTTP face of the change feed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from artstore.core.web.authentication import require_peer
from artstore.storage.dependencies import EngineDep, FeedDep
from artstore.storage.routes.files import NDJSON, PAGE_MAX

router = APIRouter(prefix="/api/v1/changes", tags=["changes"])


@router.get("", dependencies=[Depends(require_peer("admin", "query"))], response_class=Response)
async def read_changes(
    feed: FeedDep,
    engine: EngineDep,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1000,
    wait: Annotated[float, Query(ge=0, le=60)] = 0,
) -> Response:
    """Durable changes as JSON lines, oldest first. Waits up to `wait` seconds for one.

    Go on after `X-ArtStore-Position`. Where that is the head, nothing was left to tell.
    """
    page = await feed.changes(after, limit, wait)
    headers = {
        "X-ArtStore-Feed-Id": engine.feed_id,
        "X-ArtStore-Position": str(page.position),
        "X-ArtStore-Head-Seq": str(engine.head),
    }
    return Response(b"".join(page.lines), media_type=NDJSON, headers=headers)
