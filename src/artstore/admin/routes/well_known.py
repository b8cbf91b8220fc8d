"""What others must know to trust our tokens: the key set, and where things are (RFC 8414)."""

from typing import Any

from fastapi import APIRouter, Response

from artstore.admin.dependencies import ResourcesDep
from artstore.core.model.account import SIGN_IN_SCOPES, Scope

router = APIRouter(prefix="/.well-known", tags=["identity"])

CACHE_S = 60
"""A new key is published long before it signs."""


@router.get("/jwks.json")
async def read_jwks(parts: ResourcesDep, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = f"public, max-age={CACHE_S}"
    return await parts.keys.jwks()


@router.get("/oauth-authorization-server")
async def read_metadata(parts: ResourcesDep, response: Response) -> dict[str, Any]:
    issuer = parts.settings.issuer
    response.headers["Cache-Control"] = f"public, max-age={CACHE_S}"
    ways = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/api/v1/auth/token",
        "token_endpoint_auth_methods_supported": ways,
        "revocation_endpoint": f"{issuer}/api/v1/auth/revoke",
        "revocation_endpoint_auth_methods_supported": ways,
        "introspection_endpoint": f"{issuer}/api/v1/auth/introspect",
        "introspection_endpoint_auth_methods_supported": ways,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "tls_client_certificate_bound_access_tokens": True,
        "scopes_supported": sorted(set(Scope) - SIGN_IN_SCOPES),
    }
