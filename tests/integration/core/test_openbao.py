"""Secrets out of a real OpenBao: what it gives, and what happens when it does not."""

import contextlib
import secrets as random_secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import psycopg
import pytest
from cryptography import x509
from tests.support.hand_clock import HandClock
from tests.support.module_process import module_process
from tests.support.openbao import AppRole, OpenBaoServer
from tests.support.pki import Pki
from tests.support.postgres import TestDatabase, TestServer
from tests.support.processes import wait_until

from artstore.core.clock import SystemClock
from artstore.core.metrics import REGISTRY
from artstore.core.secrets.chain import Secrets
from artstore.core.secrets.openbao import OpenBao, OpenBaoAway
from artstore.core.secrets.openbao_settings import OpenBaoSettings
from artstore.core.secrets.sources import FileSecrets
from artstore.core.settings import ConfigurationError, ModuleSettings
from artstore.core.tls import client_context
from artstore.rotation.procedure import RotationFailed
from artstore.rotation.store import OpenBaoStore

READ = 'path "secret/data/artstore/query" { capabilities = ["read"] }'


@dataclass(frozen=True)
class Place:
    """A module with a role of its own in OpenBao."""

    server: OpenBaoServer
    role: AppRole
    folder: Path

    def settings(self, **changes: object) -> OpenBaoSettings:
        values = {
            "url": self.server.url,
            "role_id": self.role.role_id,
            "secret_id_file": self.role.secret_id_file,
            "refresh_s": 1,
            "timeout_s": 2,
        }
        return OpenBaoSettings.model_validate(values | changes)

    @property
    def module(self) -> ModuleSettings:
        tls = {f"tls_{name}_file": self.folder / name for name in ("certificate", "key", "ca")}
        return ModuleSettings.model_validate({"instance": "query-1", "port": 0} | tls)

    @contextlib.contextmanager
    def opened(self, **changes: object) -> Iterator[OpenBao]:
        made = OpenBao.open(self.settings(**changes), self.module, "query", SystemClock())
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def place(openbao: OpenBaoServer, tmp_path: Path) -> Place:
    openbao.put("artstore/query", {"database_password": "first", "valkey_password": "other"})
    return Place(openbao, openbao.approle(READ, token_ttl="1h"), tmp_path)


def value(bao: OpenBao, name: str = "database_password") -> str | None:
    found = bao.find(name)
    return found.text if found else None


def is_up() -> float | None:
    return REGISTRY.get_sample_value("artstore_secret_source_up", {"source": "openbao"})


def test_fields_of_the_modules_own_path_and_a_change_of_one(place: Place) -> None:
    with place.opened() as bao:
        assert (value(bao), value(bao, "valkey_password"), value(bao, "no")) == (
            "first",
            "other",
            None,
        )
        place.server.put("artstore/query", {"database_password": "second"})
        wait_until(lambda: value(bao) == "second", "the new password being seen")


def test_files_come_first_and_openbao_second(place: Place) -> None:
    (place.folder / "valkey_password").write_text("in the file")
    (place.folder / "valkey_password").chmod(0o600)
    with place.opened() as bao:
        chain = Secrets([FileSecrets({}, place.folder), bao], SystemClock())
        assert chain.read("valkey_password") == "in the file"
        assert chain.read("database_password") == "first"
        with pytest.raises(ConfigurationError, match=r"secret/artstore/query, field missing"):
            chain.read("missing")


def test_a_wrapped_secret_id_opens_once(place: Place) -> None:
    role = place.server.wrapped(place.role)
    given = {"secret_id_file": role.secret_id_file, "secret_id_wrapped": True}
    with place.opened(**given) as bao:
        assert value(bao) == "first"
    with pytest.raises(ConfigurationError, match="was used already"), place.opened(**given):
        pass


Spoil = Callable[[Place], dict[str, object]]


def _other_id(place: Place) -> dict[str, object]:
    (place.folder / "id").write_text("00000000-0000-0000-0000-000000000000")
    (place.folder / "id").chmod(0o600)
    return {"secret_id_file": place.folder / "id"}


REFUSALS: dict[str, tuple[Spoil, str, type[Exception]]] = {
    "away": (lambda _: {"url": "http://127.0.0.1:9"}, "does not answer", OpenBaoAway),
    "wrong secret id": (_other_id, "refuses the log-in", ConfigurationError),
    "forbidden": (lambda _: {"kv_path": "artstore/admin"}, "policy", ConfigurationError),
    "no secret id": (lambda p: {"secret_id_file": p.folder / "no"}, "no", ConfigurationError),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_start_without_it_is_refused_and_says_why(place: Place, case: str) -> None:
    spoil, expected, kind = REFUSALS[case]

    with pytest.raises(kind, match=expected) as refusal, place.opened(**spoil(place)):
        pass

    assert place.role.secret_id_file.read_text() not in str(refusal.value)


def test_sealed_and_unsealed_again(place: Place) -> None:
    with place.opened() as bao:
        place.server.seal()
        try:
            wait_until(lambda: is_up() == 0, "the seal being noticed")
            assert value(bao) == "first"
            with pytest.raises(OpenBaoAway, match="sealed"), place.opened():
                pass
        finally:
            place.server.unseal()
        wait_until(lambda: is_up() == 1, "it being noticed that it is open again")


def test_hanging_it_holds_nobody_up(place: Place) -> None:
    with place.opened() as bao:
        with place.server.frozen():
            wait_until(lambda: is_up() == 0, "the silence being noticed")
            assert value(bao) == "first"
        wait_until(lambda: is_up() == 1, "it being heard again")


def test_a_token_that_was_revoked_is_replaced(place: Place) -> None:
    with place.opened() as bao:
        place.server.client.auth.token.revoke(bao._client.token)
        place.server.put("artstore/query", {"database_password": "second"})
        wait_until(lambda: value(bao) == "second", "a new token being taken")


def test_a_token_is_renewed_at_half_of_its_time(place: Place) -> None:
    clock = HandClock()
    bao = OpenBao(place.settings(), place.module, "query", clock)
    bao.refresh()
    first, token = bao._token, bao._client.token
    assert first is not None
    clock.advance(first.length.total_seconds() * 0.4)
    bao.refresh()
    assert bao._token is first
    clock.advance(first.length.total_seconds() * 0.2)
    bao.refresh()
    assert bao._token is not None
    assert bao._token.began_at == clock.now()
    assert bao._client.token == token
    bao.close()


def test_no_secret_is_shown(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with place.opened() as bao:
        place.server.seal()
        try:
            wait_until(lambda: is_up() == 0, "the seal being noticed")
        finally:
            place.server.unseal()
        token = bao._client.token
        shown = repr(bao) + repr(bao.find("database_password")) + repr(place.settings())
        said = capsys.readouterr()
        for text in ("first", token, place.role.secret_id_file.read_text()):
            assert text not in shown + said.out + said.err


CREATE = """
CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'
  IN ROLE artstore_query;
ALTER ROLE "{{name}}" SET role = 'artstore_query';
ALTER ROLE "{{name}}" SET default_transaction_read_only = on;
"""
REVOKE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}';
DROP ROLE IF EXISTS "{{name}}";
"""


@pytest.fixture
def database(
    openbao: OpenBaoServer,
    postgres_server: TestServer,
    make_database: Callable[[str], TestDatabase],
) -> TestDatabase:
    made = make_database("openbao_logins")
    if "database/" not in openbao.client.sys.list_mounted_secrets_engines()["data"]:
        openbao.client.sys.enable_secrets_engine("database")
        host = postgres_server.server.sockets
        openbao.client.secrets.database.configure(
            "artstore",
            "postgresql-database-plugin",
            allowed_roles="artstore-query",
            connection_url=f"user={{{{username}}}} password={{{{password}}}} host={host} "
            f"dbname={made.name} sslmode=disable",
            username=postgres_server.superuser.role,
            password=postgres_server.superuser.password,
        )
        openbao.client.secrets.database.create_role(
            "artstore-query",
            "artstore",
            creation_statements=CREATE,
            revocation_statements=REVOKE,
            default_ttl="10m",
            max_ttl="15m",
        )
    return made


def test_logins_of_the_database_engine(
    openbao: OpenBaoServer, place: Place, database: TestDatabase
) -> None:
    policy = READ + 'path "database/creds/artstore-query" { capabilities = ["read"] }'
    policy += 'path "sys/leases/renew" { capabilities = ["update"] }'
    clock = HandClock()
    role = openbao.approle(policy, token_ttl="1h")
    mine = Place(openbao, role, place.folder)
    bao = OpenBao(mine.settings(database_role="artstore-query"), mine.module, "query", clock)
    chain = Secrets([bao], clock)
    bao.refresh()
    first = chain.login("database_password")
    assert first.username
    url = database.query_url.replace("postgresql+psycopg", "postgresql")

    with psycopg.connect(url, user=first.username, password=first.password) as connection:
        row = connection.execute("SELECT current_user, session_user").fetchone()
        assert row == ("artstore_query", first.username)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TEMPORARY TABLE x ()")
    # At half of its time the lease is renewed and the login stays.
    clock.advance(timedelta(minutes=5, seconds=10).total_seconds())
    bao.refresh()
    assert chain.login("database_password") == first
    assert bao._login is not None
    assert bao._login.began_at == clock.now()
    # Revoked, it cannot be renewed: there is another one.
    openbao.client.sys.revoke_lease(bao._login.lease_id)
    clock.advance(timedelta(minutes=5, seconds=10).total_seconds())
    bao.refresh()
    second = chain.login("database_password")
    assert second.username not in (None, first.username)
    with psycopg.connect(url, user=second.username, password=second.password) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    openbao.client.sys.revoke_lease(bao._login.lease_id)
    bao.close()


def test_certificates_of_the_pki_engine(openbao: OpenBaoServer, tmp_path: Path) -> None:
    client = openbao.client
    client.sys.disable_secrets_engine("pki")  # A first attempt may have left one.
    client.sys.enable_secrets_engine("pki")
    client.secrets.pki.generate_root("internal", "ArtStore", {"ttl": "8760h", "key_type": "ec"})
    client.secrets.pki.create_or_update_role(
        "artstore-query",
        {
            "allowed_domains": "query.artstore.internal",
            "allow_bare_domains": True,
            "allowed_uri_sans": "spiffe://artstore/query/*",
            "key_type": "ec",
            "key_bits": 256,
            "max_ttl": "72h",
            "ttl": "72h",
        },
    )
    policy = 'path "pki/issue/artstore-query" { capabilities = ["update"] }' + READ
    mine = Place(openbao, openbao.approle(policy), tmp_path)
    files = mine.module.tls
    assert files is not None

    with mine.opened(pki_role="artstore-query"):
        first = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://artstore/query/query-1"
    ]
    assert names.get_values_for_type(x509.DNSName) == ["query.artstore.internal"]
    first.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))
    assert files.key.stat().st_mode & 0o077 == 0
    with mine.opened(pki_role="artstore-query"):  # Far from its end: it stays.
        assert x509.load_pem_x509_certificate(files.certificate.read_bytes()) == first
    clock = HandClock()
    clock.moment = first.not_valid_after_utc - timedelta(hours=20)
    later = OpenBao(mine.settings(pki_role="artstore-query"), mine.module, "query", clock)
    later.refresh()
    later.close()
    assert x509.load_pem_x509_certificate(files.certificate.read_bytes()) != first


def test_a_module_begins_with_openbao_and_says_when_it_is_away(
    openbao: OpenBaoServer, pki: Pki, database: TestDatabase
) -> None:
    openbao.put("artstore/query", {"database_password": database.query_password})
    role = openbao.approle(READ)
    settings = {
        "ADMIN_URL": "https://127.0.0.1:9",
        "ISSUER": "https://archive.example",
        "DATABASE_URL": database.query_url,
        "OPENBAO_URL": openbao.url,
        "OPENBAO_ROLE_ID": role.role_id,
        "OPENBAO_SECRET_ID_FILE": role.secret_id_file,
    }
    with (
        module_process("query", pki, settings) as query,
        httpx2.Client(verify=client_context(pki.files("edge"))) as client,
    ):
        ready = client.get(f"{query.url}/health/ready").json()
        assert ready["checks"]["database"] == "ok"
        for file in ("cmdline", "environ"):
            shown = (Path("/proc") / str(query.pid) / file).read_bytes()
            assert database.query_password.encode() not in shown
            assert role.secret_id_file.read_bytes() not in shown
    with (
        pytest.raises(AssertionError, match=r"(?s)ended with 75.*does not answer"),
        module_process("query", pki, settings | {"OPENBAO_URL": "http://127.0.0.1:9"}),
    ):
        pass


def test_a_rotation_writes_one_field_and_refuses_to_overwrite_another_writer(
    openbao: OpenBaoServer,
) -> None:
    name = f"artstore/{random_secrets.token_hex(4)}"
    openbao.put(name, {"one": "1", "two": "2"})
    store = OpenBaoStore(openbao.client, "secret", 1)

    store.write(f"{name}#one", "new")

    assert (store.read(f"{name}#one"), store.read(f"{name}#two")) == ("new", "2")
    with pytest.raises(RotationFailed, match="no such field"):
        store.read(f"{name}#three")
