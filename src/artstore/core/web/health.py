"""`/health/live`: the process runs. `/health/ready`: it can do its work now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.web.problems import problem_response

Check = Callable[[], Awaitable[str | None]]
"""Raises when the dependency is away. What it raises goes into the log, never to the caller.
It may answer with one word on its state, which is shown in place of `ok`."""

_AWAY = "unavailable"

CHECK_TIMEOUT_S = 3.0


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        results = await asyncio.gather(*(_state(name, check) for name, check in checks.items()))
        states = dict(zip(checks, results, strict=True))
        missing = [name for name, state in states.items() if state == _AWAY]
        if missing:
            failure = Unavailable(f"not ready: {', '.join(missing)}", checks=states)
            return problem_response(failure)
        return JSONResponse({"status": "ready", "checks": states})

    return [Route("/health/live", live), Route("/health/ready", ready)]


async def _state(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check() or "ok"
    except Exception as error:  # noqa: BLE001  whatever a dependency throws, it is not ready
        get_logger().warning("dependency is not ready", dependency=name, cause=repr(error))
        return _AWAY
