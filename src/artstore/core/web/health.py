"""`/health/live`: the process runs. `/health/ready`: it can do its work now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from artstore.core.errors import ArtStoreError, Unavailable
from artstore.core.logging import get_logger
from artstore.core.web.authentication import peer_of
from artstore.core.web.problems import problem_response

Check = Callable[[], Awaitable[str | None]]
"""Raises when the dependency is away. What it raises goes into the log, and only the detail of
an `ArtStoreError` to a caller that shows a certificate: anybody may ask for readiness.
It may answer with one word on its state, which is shown in place of `ok`."""

_AWAY = "unavailable"

CHECK_TIMEOUT_S = 3.0


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    dependencies = [_Dependency(name, check) for name, check in checks.items()]

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(request: Request) -> Response:
        results = await asyncio.gather(*(each.state() for each in dependencies))
        states = dict(zip(checks, results, strict=True))
        missing = [name for name, state in states.items() if state == _AWAY]
        if missing:
            failure = Unavailable(f"not ready: {', '.join(missing)}", checks=states)
            if peer_of(request.scope) is not None:
                failure.fields["reasons"] = {
                    each.name: each.reason for each in dependencies if each.reason
                }
            return problem_response(failure)
        return JSONResponse({"status": "ready", "checks": states})

    return [Route("/health/live", live), Route("/health/ready", ready)]


class _Dependency:
    """Says in the log when it goes and when it is back, not at each question."""

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self.reason = ""
        """For the caller: a failure of ours says what is wrong in words meant for one."""
        self._check = check
        self._is_away = False

    async def state(self) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                state = await self._check() or "ok"
        except Exception as error:  # noqa: BLE001  whatever a dependency throws, it is not ready
            if not self._is_away:
                get_logger().warning(
                    "dependency is not ready", dependency=self.name, cause=repr(error)
                )
            self._is_away = True
            self.reason = error.detail if isinstance(error, ArtStoreError) else ""
            return _AWAY
        self.reason = ""
        if self._is_away:
            get_logger().info("dependency is back", dependency=self.name)
        self._is_away = False
        return state
