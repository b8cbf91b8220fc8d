"""Goal: production does not start with anything in it that is unsafe, and says all of it at once.

Method: for each module the environment of a good start, and then one thing at a time made bad.
"""

import secrets as random_secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.admin.settings import AdminSettings
from artstore.core.secrets.starting import start
from artstore.core.settings import ConfigurationError, ModuleSettings
from artstore.ingester.settings import IngesterSettings
from artstore.query.settings import QuerySettings
from artstore.storage.settings import StorageSettings

Environment = dict[str, str]

KINDS: dict[str, type[ModuleSettings]] = {
    "admin": AdminSettings,
    "storage": StorageSettings,
    "ingester": IngesterSettings,
    "query": QuerySettings,
}
DATABASE = {"DATABASE_URL": "postgresql+psycopg://artstore_admin@/artstore?host=/run/pg"}
VALKEY = {"VALKEY_URL": "unix:///run/valkey.sock", "VALKEY_USERNAME": "reader"}
CALLER = {"ADMIN_URL": "https://127.0.0.1:8010", "ISSUER": "https://archive.example"}
STORE = {"BACKEND": "s3", "S3_ENDPOINT": "https://s3.example", "S3_BUCKET": "elements"}
OWN = {
    "admin": {**DATABASE, **VALKEY, "ISSUER": "https://archive.example", "AUDIT_FOLDER": "/a"},
    "storage": {"ELEMENT_ID": "edit-1", "ROOT": "/data", **STORE},
    "ingester": {**CALLER, **VALKEY},
    "query": {**CALLER, **VALKEY, **DATABASE},
}
SECRETS = {
    "admin": ("database_password", "valkey_password", "key_encryption_key"),
    "storage": ("s3_access_key", "s3_secret_key"),
    "ingester": ("valkey_password",),
    "query": ("database_password", "valkey_password"),
}


@pytest.fixture(params=sorted(KINDS))
def module(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def good(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    for name in SECRETS[module]:
        path = tmp_path / name
        path.write_text(random_secrets.token_urlsafe(32))
        path.chmod(0o600)
    common = {"INSTANCE": f"{module}-1", "PORT": "8010", "SECRETS_FOLDER": str(tmp_path)}
    tls = {f"TLS_{name}_FILE": f"/pki/{name}" for name in ("CERTIFICATE", "KEY", "CA")}
    environment = common | tls | OWN[module]
    for name, value in environment.items():
        monkeypatch.setenv(f"ARTSTORE_{name}", value)
    return environment


@pytest.mark.usefixtures("good")
def test_a_good_start_is_let_through(module: str) -> None:
    settings, secrets = start(KINDS[module], module)

    assert settings.profile == "production"
    assert all(secrets.read(name) for name in SECRETS[module])


Spoil = Callable[[pytest.MonkeyPatch], None]


def variable(name: str, value: str) -> Spoil:
    return lambda patch: patch.setenv(f"ARTSTORE_{name}", value)


EVERYWHERE: dict[str, tuple[Spoil, str]] = {
    "debug": (variable("DEBUG", "true"), "unset ARTSTORE_DEBUG"),
    "docs": (variable("DEBUG", "1"), "/openapi.json"),
    "CORS": (variable("CORS_ORIGINS", "https://a.example *"), "ARTSTORE_CORS_ORIGINS"),
    "environment": (
        variable("DATABASE_PASSWORD", "x"),
        "unset it, and name a file in ARTSTORE_DATABASE_PASSWORD_FILE",
    ),
    "key in environment": (variable("S3_SECRET_KEY", "x"), "ARTSTORE_S3_SECRET_KEY holds"),
    "OpenBao in the clear": (
        lambda patch: [  # type: ignore[return-value]
            patch.setenv(f"ARTSTORE_OPENBAO_{name}", value)
            for name, value in {
                "URL": "http://vault.example:8200",
                "ROLE_ID": "r",
                "SECRET_ID_FILE": "/s",
            }.items()
        ],
        "ARTSTORE_OPENBAO_URL reaches another machine",
    ),
}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("case", EVERYWHERE)
def test_what_no_module_starts_with(
    module: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, expected = EVERYWHERE[case]
    spoil(monkeypatch)

    with pytest.raises(ConfigurationError) as refusal:
        start(KINDS[module], module)

    assert expected in str(refusal.value)
    assert refusal.value.exit_code == 78


@pytest.mark.usefixtures("good")
def test_no_tls_is_refused(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CERTIFICATE", "KEY", "CA"):
        monkeypatch.delenv(f"ARTSTORE_TLS_{name}_FILE")

    with pytest.raises(ConfigurationError, match="there is no TLS"):
        start(KINDS[module], module)


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "default": (lambda path: path.write_text("changeme"), "weak"),
    "weak": (lambda path: path.write_text("letmeinletmeinletmeinletmein"), "is weak"),
    "short": (lambda path: path.write_text("Xk7/qP2mR9"), "20 are the least"),
    "empty": (lambda path: path.write_text("\n"), "is empty"),
    "world-readable": (lambda path: path.chmod(0o644), "chmod 600"),
    "group-readable": (lambda path: path.chmod(0o640), "chmod 600"),
    "missing": (Path.unlink, "is missing: put it into"),
}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("case", UNFIT)
def test_each_secret_of_each_module_is_looked_at(module: str, case: str, tmp_path: Path) -> None:
    spoil, expected = UNFIT[case]
    for name in SECRETS[module]:
        if name == "s3_access_key" and case in ("default", "weak", "short"):
            continue  # A name, as long as the store gave it.
        path = tmp_path / name
        fit = path.read_text()
        spoil(path)
        with pytest.raises(ConfigurationError) as refusal:
            start(KINDS[module], module)
        assert name in str(refusal.value)
        assert expected in str(refusal.value)
        path.write_text(fit)
        path.chmod(0o600)


DATABASES = {
    "plain": "postgresql+psycopg://a@db.example/artstore?sslmode=disable",
    "encrypted, not checked": "postgresql+psycopg://a@db.example/artstore?sslmode=require",
    "in the query": "postgresql+psycopg://a@/artstore?host=10.0.0.7&sslmode=prefer",
    "second host": "postgresql+psycopg://a@/artstore?host=127.0.0.1:5432&host=db.example:5432&sslmode=allow",
    "a list": "postgresql+psycopg://a@localhost,db.example/artstore?sslmode=require",
    "IPv6": "postgresql+psycopg://a@[2001:db8::1]:5432/artstore?sslmode=verify-ca",
}
GOOD_DATABASES = (
    "postgresql+psycopg://a@localhost:5432/artstore",
    "postgresql+psycopg://a@[::1]:5432/artstore",
    "postgresql+psycopg://a@/artstore?host=/run/pg",
    "postgresql+psycopg://a@db.example/artstore?sslmode=verify-full&sslrootcert=/ca",
    "postgresql+psycopg://a@db.example/artstore",
)


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("module", ["admin", "query"], indirect=True)
def test_postgresql_elsewhere_needs_tls_that_is_checked(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in DATABASES.values():
        monkeypatch.setenv("ARTSTORE_DATABASE_URL", url)
        with pytest.raises(ConfigurationError, match="sslmode=verify-full"):
            start(KINDS[module], module)
    for url in GOOD_DATABASES:
        monkeypatch.setenv("ARTSTORE_DATABASE_URL", url)
        start(KINDS[module], module)


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("module", ["admin", "ingester", "query"], indirect=True)
def test_valkey_elsewhere_needs_tls_that_is_checked(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("redis://cache.example:6379/0", "rediss://cache.example?ssl_cert_reqs=none"):
        monkeypatch.setenv("ARTSTORE_VALKEY_URL", url)
        with pytest.raises(ConfigurationError, match="rediss://"):
            start(KINDS[module], module)
    for url in ("redis://127.0.0.1:6379/0", "rediss://cache.example:6379/0"):
        monkeypatch.setenv("ARTSTORE_VALKEY_URL", url)
        start(KINDS[module], module)


@pytest.mark.usefixtures("good")
def test_passwords_in_urls_are_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTSTORE_DATABASE_URL", "postgresql+psycopg://a:hunter22@/artstore")
    monkeypatch.setenv("ARTSTORE_VALKEY_URL", "redis://:hunter22@127.0.0.1/0")
    for kind, service in ((AdminSettings, "admin"), (QuerySettings, "query")):
        for name, value in {**OWN[service], **CALLER}.items():
            if "URL" not in name or name == "ADMIN_URL":
                monkeypatch.setenv(f"ARTSTORE_{name}", value)
        with pytest.raises(ConfigurationError) as refusal:
            start(kind, service)
        assert str(refusal.value).count("holds a password") == 2
        assert "hunter22" not in str(refusal.value)


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("module", ["query"], indirect=True)
def test_all_faults_are_told_at_once(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSTORE_DEBUG", "true")
    monkeypatch.setenv("ARTSTORE_CORS_ORIGINS", "*")
    monkeypatch.setenv("ARTSTORE_DATABASE_URL", DATABASES["plain"])
    (tmp_path / "database_password").write_text("changeme")
    (tmp_path / "valkey_password").chmod(0o644)

    with pytest.raises(ConfigurationError) as refusal:
        start(KINDS[module], module)

    lines = str(refusal.value).splitlines()
    assert lines[0] == "query does not start like this; 5 faults:"
    assert len(lines) == 6


@pytest.mark.usefixtures("good")
def test_all_malformed_settings_are_told_at_once_and_none_is_repeated(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSTORE_INSTANCE", "hunter22!")
    monkeypatch.setenv("ARTSTORE_PORT", "hunter22")

    with pytest.raises(ConfigurationError) as refusal:
        start(KINDS[module], module)

    assert "ARTSTORE_INSTANCE" in str(refusal.value)
    assert "ARTSTORE_PORT" in str(refusal.value)
    assert "hunter22" not in str(refusal.value)


@pytest.mark.usefixtures("good")
def test_development_takes_secrets_from_the_environment_and_weak_ones(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSTORE_PROFILE", "development")
    for name in SECRETS[module]:
        (tmp_path / name).unlink()
        monkeypatch.setenv(f"ARTSTORE_{name.upper()}", "weak")

    _, secrets = start(KINDS[module], module)

    assert {secrets.read(name) for name in SECRETS[module]} == {"weak"}
