"""The frame around every module: one way to build the application and to serve it."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self, cast

from fastapi import APIRouter, FastAPI
from starlette.datastructures import State
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from artstore import __version__
from artstore.core.logging import configure_logging
from artstore.core.observability import setup_observability
from artstore.core.settings import ModuleSettings
from artstore.core.web.docs import add_docs_page
from artstore.core.web.health import Check, health_routes
from artstore.core.web.hot import HotRoutes, answer_hot
from artstore.core.web.middleware import RequireClientCertificate
from artstore.core.web.problems import add_problem_handlers


def create_application(
    settings: ModuleSettings,
    *,
    service: str,
    routers: Sequence[APIRouter | Route],
    lifespan: Lifespan[FastAPI],
    checks: Mapping[str, Check],
    hot_routes: Sequence[Route] = (),
) -> FastAPI:
    """A module's application.

    Args:
        service: The module: `storage`, `admin`, `ingester` or `query`.
        routers: FastAPI routers, and plain Starlette routes for the data paths, which
            cost half as much per request. The first that matches answers.
        checks: What `/health/ready` looks at, by the name it shows.
        hot_routes: Those of `routers` that are served most: see `core.web.hot`.
    """
    configure_logging(service, settings.instance, settings.log_level)
    schema = "/openapi.json" if settings.debug else None
    app = _Application(
        hot_routes,
        title=f"ArtStore {service}",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=schema,
        # FastAPI's own makes several spans a request and costs as much as all our code;
        # `setup_observability` does what S12 to S14 ask for.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.settings = settings
    if schema is not None:
        add_docs_page(app, "/docs", schema)
    for router in routers:
        if isinstance(router, APIRouter):
            app.include_router(router)
        else:
            app.router.routes.append(_LabelledRoute.of(router))
    app.router.routes.extend(_LabelledRoute.of(route) for route in health_routes(checks))
    add_problem_handlers(app)
    if settings.tls is not None:
        app.add_middleware(RequireClientCertificate)
    # Added last, so it is the outermost: refusals are counted and logged too.
    setup_observability(
        app,
        service,
        __version__,
        exporter_endpoint=settings.otlp_endpoint,
        instance=settings.instance,
        sample_ratio=settings.trace_sample_ratio,
        export_logs=settings.otlp_logs,
    )
    return app


class _Application(FastAPI):
    """FastAPI with two stacks of layers: for `hot_routes` ours alone, for others all."""

    def __init__(self, hot_routes: Sequence[Route], **options: Any) -> None:
        self._hot_routes = hot_routes
        super().__init__(**options)
        # Starlette's own answers each look with an exception that it catches.
        self.state = cast(State, SimpleNamespace())

    def build_middleware_stack(self) -> ASGIApp:
        """Of the layers that were added, each is made twice: none of them holds a state."""
        hot: ASGIApp = answer_hot
        for layer, args, options in reversed(self.user_middleware):
            hot = layer(hot, *args, **options)
        return HotRoutes(self._hot_routes, hot, super().build_middleware_stack())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.middleware_stack is None:
            await super().__call__(scope, receive, send)
            return
        # All that FastAPI and Starlette do here for a request of an application without options.
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)


class _LabelledRoute(Route):
    """A plain route that leaves its template in the scope, as FastAPI's own do: the metrics
    count by it."""

    @classmethod
    def of(cls, route: Route) -> Self:
        return cls(
            route.path,
            route.endpoint,
            methods=list(route.methods or ()) or None,
            name=route.name,
            include_in_schema=route.include_in_schema,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope
