"""A throw-away real OpenBao, initialised and unsealed, with raft as its storage.

`openbao` (session): the server, and what an operator would set up in it. It listens on plain HTTP
on the loopback address, which production allows there and nowhere else; and on HTTPS, for those
who use it as an identity provider.
"""

import contextlib
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hvac
import psutil
import pytest
from hvac.exceptions import InternalServerError, InvalidRequest, VaultDown
from tests.support.module_process import free_port, listens
from tests.support.pki import Pki
from tests.support.processes import running, short_folder, wait_until

from artstore.core.private_files import write_private

BAO: Final = Path(sys.executable).with_name("bao")
_CONFIGURATION: Final = """
storage "raft" {{
  path = "{folder}/data"
  node_id = "one"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
listener "tcp" {{
  address = "127.0.0.1:{tls_port}"
  cluster_address = "127.0.0.1:{tls_cluster_port}"
  tls_cert_file = "{certificate}"
  tls_key_file = "{key}"
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster_port}"
"""


@dataclass(frozen=True)
class AppRole:
    """What a module is given."""

    role_id: str
    secret_id_file: Path


@dataclass
class OpenBaoServer:
    folder: Path
    port: int
    client: hvac.Client
    """With the root token."""
    unseal_key: str
    pid: int
    tls_port: int
    ca_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def https_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def put(self, path: str, values: Mapping[str, str]) -> None:
        self.client.secrets.kv.v2.create_or_update_secret(path, dict(values))

    def approle(self, policy: str, **options: Any) -> AppRole:
        """A new role with this policy of its own."""
        name = f"role-{secrets.token_hex(4)}"
        self.client.sys.create_or_update_policy(name, policy)
        self.client.auth.approle.create_or_update_approle(
            name, token_policies=[name], token_no_default_policy=False, **options
        )
        role_id = self.client.auth.approle.read_role_id(name)["data"]["role_id"]
        secret_id = self.client.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        file = self.folder / name
        write_private(file, secret_id)
        return AppRole(role_id, file)

    def wrapped(self, role: AppRole) -> AppRole:
        """The same role, with a wrapping token instead of its secret id."""
        answer = self.client.write_data(
            "sys/wrapping/wrap",
            data={"secret_id": role.secret_id_file.read_text()},
            wrap_ttl="60s",
        )
        file = role.secret_id_file.with_suffix(".wrapped")
        write_private(file, answer["wrap_info"]["token"])
        return AppRole(role.role_id, file)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing."""
        parent = psutil.Process(self.pid)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            process.suspend()
        try:
            yield
        finally:
            for process in family:
                process.resume()

    def seal(self) -> None:
        self.client.sys.seal()

    def unseal(self) -> None:
        """It is of use again when this returns: it elects itself first."""
        self.client.sys.submit_unseal_key(self.unseal_key)
        wait_until(self.takes_secrets, "it taking secrets")

    def takes_secrets(self) -> bool:
        try:
            self.put("probe", {"is": "there"})
        except (InvalidRequest, InternalServerError, VaultDown):
            return False
        return True


@pytest.fixture(scope="session")
def openbao(pki: Pki) -> Iterator[OpenBaoServer]:
    # Of another authority than the modules: who asks over HTTPS has to be told which.
    tls = pki.stranger("openbao")
    port, tls_port = free_port(), free_port()
    with short_folder() as folder:
        configuration = folder / "bao.hcl"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                port=port,
                cluster_port=free_port(),
                tls_port=tls_port,
                tls_cluster_port=free_port(),
                certificate=tls.certificate,
                key=tls.key,
            )
        )
        (folder / "data").mkdir()
        command = [str(BAO), "server", f"-config={configuration}"]
        with running(command, lambda _: listens(port), folder / "log", signal.SIGTERM) as process:
            client = hvac.Client(f"http://127.0.0.1:{port}", timeout=30)
            made = client.sys.initialize(secret_shares=1, secret_threshold=1)
            client.sys.submit_unseal_key(made["keys"][0])
            client.token = made["root_token"]
            wait_until(lambda: client.sys.read_health_status().status_code == 200, "leading")
            client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
            client.sys.enable_auth_method("approle")
            server = OpenBaoServer(
                folder, port, client, made["keys"][0], process.pid, tls_port, pki.other_ca_file
            )
            wait_until(server.takes_secrets, "the engine KV being upgraded")
            yield server
            client.adapter.close()
