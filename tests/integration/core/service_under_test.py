"""A small module with one route of each kind, served as real modules are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from artstore.core.errors import FileDeleted, NoRoom, Unavailable
from artstore.core.logging import get_logger
from artstore.core.settings import ModuleSettings
from artstore.core.tracing import current_trace_id
from artstore.core.web.application import create_application
from artstore.core.web.authentication import check_peer, require_peer
from artstore.core.web.server import serve

router = APIRouter(prefix="/api/v1")


@router.get("/numbers/{number}", dependencies=[Depends(require_peer("ingester"))])
async def number(number: int) -> dict[str, int]:
    return {"number": number}


@router.get("/deleted")
async def deleted() -> None:
    raise FileDeleted("it was deleted")


@router.get("/crash")
async def crash() -> None:
    raise RuntimeError("the password is /etc/shadow")


@router.get("/trace")
async def trace() -> dict[str, str | None]:
    get_logger().info("asked for its trace")
    return {"trace_id": current_trace_id()}


@router.get("/large")
async def large() -> Response:
    return Response(bytes(20_000_000))


@router.get("/half")
async def half() -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise RuntimeError("in the middle")

    return StreamingResponse(body(), headers={"Content-Length": "2000"})


async def store(request: Request) -> Response:
    check_peer(request, "ingester")
    if request.path_params["file_id"] == "full":
        raise NoRoom("no room")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"size": size}, 201)


async def broken() -> None:
    raise Unavailable("at 10.0.0.1")


async def fine() -> None:
    return None


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


if __name__ == "__main__":
    settings = ModuleSettings()  # type: ignore[call-arg]
    checks = {"disk": fine, "database": broken} if settings.instance == "broken" else {"d": fine}
    serve(
        create_application(
            settings,
            service="storage",
            routers=[router, Route("/api/v1/files/{file_id}", store, methods=["PUT"])],
            lifespan=lifespan,
            checks=checks,
        ),
        settings,
    )
