"""Real processes: what production refuses, it refuses before it opens anything, and says why."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

COMMON = {
    "PORT": "0",
    "DEBUG": "true",
    "CORS_ORIGINS": "*",
    "VALKEY_PASSWORD": "in-the-environment",
    "TLS_CERTIFICATE_FILE": "/nowhere/crt",
    "TLS_KEY_FILE": "/nowhere/key",
    "TLS_CA_FILE": "/nowhere/ca",
}
SERVERS = {
    "DATABASE_URL": "postgresql+psycopg://artstore@db.example/artstore?sslmode=require",
    "VALKEY_URL": "redis://cache.example:6379/0",
    "VALKEY_USERNAME": "reader",
    "ISSUER": "https://archive.example",
    "ADMIN_URL": "https://admin.example",
    "AUDIT_FOLDER": "/nowhere/audit",
}
STORE = {
    "ELEMENT_ID": "edit-1",
    "ROOT": "/nowhere/element",
    "BACKEND": "s3",
    "S3_ENDPOINT": "http://s3.example",
    "S3_BUCKET": "elements",
}
EVERYWHERE = [
    "debug is on, and with it /docs",
    "CORS is open",
    "ARTSTORE_VALKEY_PASSWORD holds a secret in the environment",
]
DATABASE = ["sslmode=verify-full", "database_password is weak", "chmod 600"]
EXPECTED = {
    "admin": [*EVERYWHERE, *DATABASE, "rediss://", "key_encryption_key is missing"],
    "query": [*EVERYWHERE, *DATABASE, "rediss://"],
    "ingester": [*EVERYWHERE, "rediss://", "chmod 600"],
    "storage": [*EVERYWHERE, "S3_ENDPOINT", "s3_secret_key is weak", "s3_access_key is missing"],
}


@pytest.mark.parametrize("module", sorted(EXPECTED))
def test_one_of_each_kind(module: str, tmp_path: Path) -> None:
    weak = "artstore-artstore-artstore"
    readable = secrets.token_urlsafe(32)
    for name, text, mode in (
        ("database_password", weak, 0o600),
        ("s3_secret_key", weak, 0o600),
        ("valkey_password", readable, 0o644),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    own = STORE if module == "storage" else SERVERS
    given = {**COMMON, **own, "INSTANCE": f"{module}-1", "SECRETS_FOLDER": str(tmp_path)}
    environment = {f"ARTSTORE_{name}": value for name, value in given.items()}

    done = subprocess.run(
        [sys.executable, "-m", f"artstore.{module}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 78, done.stderr
    assert [text for text in EXPECTED[module] if text not in done.stderr] == []
    assert f"{len(EXPECTED[module])} faults" in done.stderr
    for secret in (weak, readable, "in-the-environment"):
        assert secret not in done.stdout + done.stderr
