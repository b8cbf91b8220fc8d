"""The frame around every module: one way to build the application and to serve it."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from artstore import __version__
from artstore.core.logging import configure_logging
from artstore.core.observability import setup_observability
from artstore.core.settings import ModuleSettings
from artstore.core.web.health import Check, health_routes
from artstore.core.web.middleware import RequireClientCertificate
from artstore.core.web.problems import add_problem_handlers


def create_application(
    settings: ModuleSettings,
    *,
    service: str,
    routers: Sequence[APIRouter | BaseRoute],
    lifespan: Lifespan[FastAPI],
    checks: Mapping[str, Check],
) -> FastAPI:
    """A module's application.

    Args:
        service: The module: `storage`, `admin`, `ingester` or `query`.
        routers: FastAPI routers, and plain Starlette routes for the data paths, which
            cost half as much per request. The first that matches answers.
        checks: What `/health/ready` looks at, by the name it shows.
    """
    configure_logging(service, settings.instance, settings.log_level)
    docs = "/docs" if settings.debug else None
    schema = "/openapi.json" if settings.debug else None
    app = FastAPI(
        title=f"ArtStore {service}",
        version=__version__,
        lifespan=lifespan,
        docs_url=docs,
        redoc_url=None,
        openapi_url=schema,
    )
    app.state.settings = settings
    for router in routers:
        if isinstance(router, APIRouter):
            app.include_router(router)
        else:
            app.router.routes.append(router)
    app.router.routes.extend(health_routes(checks))
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
    )
    return app
