"""Every listener once: the four modules, a witness, and what an attacker needs."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.admin import ISSUER, Admin, Installation, MakeDatabase
from tests.support.module_process import module_process
from tests.support.pki import Pki
from tests.support.processes import short_folder
from tests.support.transparency import LOG_KEY
from tests.support.valkey import TestValkey
from tests.support.witnesses import WitnessFiles, running_witness

MODULES = ("admin", "ingester", "query", "storage")
LISTENERS = (*MODULES, "witness")


@dataclass(frozen=True)
class Listeners:
    admin: Admin
    ports: dict[str, int]
    pki: Pki

    def context(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """Of a client that would do anything: nothing on its side keeps it from a connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context

    def ask(
        self,
        listener: str,
        context: ssl.SSLContext,
        path: str = "/api/v1/info",
        method: str = "GET",
    ) -> int | None:
        """The status; `None`: the connection was refused before an answer."""
        head = [
            f"{method} {path} HTTP/1.1",
            *("Host: x", "Content-Length: 0", "Connection: close", "Tus-Resumable: 1.0.0"),
        ]
        request = "\r\n".join([*head, "", ""])
        try:
            with (
                socket.create_connection(("127.0.0.1", self.ports[listener]), 10) as plain,
                context.wrap_socket(plain) as tls,
            ):
                tls.sendall(request.encode())
                answer = tls.recv(4096)
        except (ssl.SSLError, ConnectionError):
            return None
        return int(answer.split()[1]) if answer else None


@pytest.fixture(scope="package")
def listeners(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki
) -> Iterator[Listeners]:
    with short_folder() as folder, contextlib.ExitStack() as stack:
        made = Installation(folder, make_database("certificates"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        admin = stack.enter_context(made.serve())
        common = {"ADMIN_URL": admin.process.url, "ISSUER": ISSUER}
        own = {
            "query": {
                "DATABASE_URL": made.database.query_url,
                "DATABASE_PASSWORD_FILE": made.database.query_password_file,
            },
            "storage": {"ELEMENT_ID": "edit-1", "ROOT": folder / "element"},
            "ingester": {},
        }
        ports = {"admin": admin.process.port}
        for module, settings in own.items():
            process = module_process(module, pki, {**common, **settings})
            ports[module] = stack.enter_context(process).port
        (folder / "witness").mkdir()
        tls = pki.files("witness")
        witness = running_witness(
            WitnessFiles.make(folder / "witness", [LOG_KEY.verifier]),
            *("--tls-certificate-file", tls.certificate, "--tls-key-file", tls.key),
        )
        ports["witness"] = int(stack.enter_context(witness).url.rpartition(":")[2])
        yield Listeners(admin, ports, pki)
