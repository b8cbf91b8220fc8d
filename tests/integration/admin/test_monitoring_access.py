"""Whom the edge lets pass to the pages of monitoring, as it asks for each of their requests."""

import pytest
from tests.support.admin import Admin

ACCESS = "/api/v1/monitoring/access"
ELSEWHERE = "/monitoring/alertmanager/api/v2/silences"


@pytest.fixture(scope="module")
def viewer(admin: Admin) -> str:
    """Sees monitoring and changes nothing."""
    with admin.as_account() as client:
        made = client.post(
            "/api/v1/service-accounts", json={"client_id": "viewer", "role": "auditor"}
        ).json()
    return admin.token("viewer", made["client_secret"])


def access(admin: Admin, token: str, method: str, path: str) -> int:
    asked = {"X-Forwarded-Method": method, "X-Forwarded-Uri": path}
    with admin.client(Authorization=f"Bearer {token}", **asked) as client:
        return int(client.get(ACCESS).status_code)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ELSEWHERE, 204),
        ("POST", ELSEWHERE, 403),
        ("POST", "/monitoring/grafana/api/ds/query?from=a..b", 204),
        ("DELETE", "/monitoring/grafana/api/x", 403),
        # The edge cleans a path before it chooses where the request goes.
        ("POST", "/monitoring/grafana/../alertmanager/api/v2/silences", 403),
        ("POST", "/monitoring/grafana/%2e%2E/alertmanager/api/v2/silences", 403),
        ("POST", "/monitoring/grafana/..%2falertmanager/api/v2/silences", 403),
        ("POST", "/monitoring/grafana/%252e%252e/alertmanager/api/v2/silences", 204),
    ],
)
def test_a_viewer_changes_nothing(
    admin: Admin, viewer: str, method: str, path: str, status: int
) -> None:
    assert access(admin, viewer, method, path) == status
