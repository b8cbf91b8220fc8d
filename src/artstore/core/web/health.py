"""`/health/live`: the process runs. `/health/ready`: it can do its work now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.web.problems import problem_response

Check = Callable[[], Awaitable[None]]
"""Raises when the dependency is away. What it raises goes into the log, never to the caller."""

CHECK_TIMEOUT_S = 3.0


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        results = await asyncio.gather(*(_passes(name, check) for name, check in checks.items()))
        states = {
            name: "ok" if passed else "unavailable"
            for name, passed in zip(checks, results, strict=True)
        }
        missing = [name for name, state in states.items() if state != "ok"]
        if missing:
            failure = Unavailable(f"not ready: {', '.join(missing)}", checks=states)
            return problem_response(failure)
        return JSONResponse({"status": "ready", "checks": states})

    return [Route("/health/live", live), Route("/health/ready", ready)]


async def _passes(name: str, check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:  # noqa: BLE001  whatever a dependency throws, it is not ready
        get_logger().warning("dependency is not ready", dependency=name, cause=repr(error))
        return False
    return True
