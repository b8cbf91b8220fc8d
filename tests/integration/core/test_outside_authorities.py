"""Certificates from elsewhere: an authority in OpenBao, with an intermediate one, EC and RSA.

The role and the names are those that docs/operations/certificates.md gives.
"""

from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from tests.support.openbao import OpenBaoServer

from artstore.core.clock import SystemClock
from artstore.core.private_files import write_private
from artstore.core.tls import TlsFiles
from artstore.local.certificate_inspection import faults, files_in

NOW = SystemClock().now


class Outside:
    """A root in one engine, and an authority below it that issues."""

    def __init__(self, server: OpenBaoServer) -> None:
        self._client = server.client
        # The server is shared, and a second attempt of a test makes its own.
        self._top, self._below = f"root-{token_hex(3)}", f"below-{token_hex(3)}"
        for mount in (self._top, self._below):
            self._client.sys.enable_secrets_engine("pki", path=mount)
            self._client.sys.tune_mount_configuration(mount, max_lease_ttl="87600h")
        names = {"common_name": "Outside root", "ttl": "8760h", "key_type": "ec"}
        self.root = self._write(f"{self._top}/root/generate/internal", **names)["certificate"]
        order = {"common_name": "Outside issuing", "key_type": "ec"}
        request = self._write(f"{self._below}/intermediate/generate/internal", **order)["csr"]
        signing = {"csr": request, "common_name": "Outside issuing", "ttl": "4380h"}
        self.issuing = self._write(f"{self._top}/root/sign-intermediate", **signing)["certificate"]
        self._write(
            f"{self._below}/intermediate/set-signed", certificate=f"{self.issuing}\n{self.root}"
        )

    def issue(self, folder: Path, key_type: str, key_bits: int, **names: str) -> str:
        """Fills the folder as an agent's template would. Returns the serial."""
        role = f"artstore-{key_type}"
        self._write(
            f"{self._below}/roles/{role}",
            allowed_domains="storage.artstore.internal",
            allow_bare_domains=True,
            allowed_uri_sans="spiffe://artstore/storage/*",
            require_cn=False,
            key_type=key_type,
            key_bits=key_bits,
            max_ttl="168h",
        )
        wanted = {
            "alt_names": "storage.artstore.internal",
            "uri_sans": "spiffe://artstore/storage/rw-2",
        }
        made = self._write(f"{self._below}/issue/{role}", **{**wanted, **names})
        folder.mkdir(exist_ok=True)
        chain = "\n".join([made["certificate"], *made["ca_chain"]])
        write_private(folder / "tls.crt", chain + "\n")
        write_private(folder / "tls.key", made["private_key"] + "\n")
        write_private(folder / "ca.crt", self.root + "\n")
        serial: str = made["serial_number"]
        return serial

    def revoke(self, serial: str) -> None:
        self._write(f"{self._below}/revoke", serial_number=serial)

    def crl(self) -> str:
        answer = self._client.adapter.get(f"/v1/{self._below}/cert/crl")
        text: str = answer["data"]["certificate"]
        return text + "\n"

    def _write(self, path: str, **data: Any) -> Any:
        answer = self._client.write_data(path, data=data)
        return answer["data"] if answer else None


@pytest.fixture(scope="module")
def outside(openbao: OpenBaoServer) -> Outside:
    return Outside(openbao)


def told(files: TlsFiles) -> list[str]:
    return list(faults(files, NOW()))


@pytest.mark.parametrize(("key_type", "key_bits"), [("ec", 256), ("ec", 384), ("rsa", 2048)])
def test_a_certificate_behind_an_intermediate_authority_is_good(
    outside: Outside, tmp_path: Path, key_type: str, key_bits: int
) -> None:
    outside.issue(tmp_path, key_type, key_bits)

    assert told(files_in(tmp_path)) == []


def test_the_issuing_authority_alone_may_be_trusted(outside: Outside, tmp_path: Path) -> None:
    """The root stays in a safe, or belongs to more than this installation."""
    outside.issue(tmp_path, "ec", 256)
    write_private(tmp_path / "ca.crt", outside.issuing + "\n")

    assert told(files_in(tmp_path)) == []


def test_its_revocations_count(outside: Outside, tmp_path: Path) -> None:
    serial = outside.issue(tmp_path, "ec", 256)
    write_private(tmp_path / "crl.pem", outside.crl())
    assert told(files_in(tmp_path)) == []

    outside.revoke(serial)
    write_private(tmp_path / "crl.pem", outside.crl())

    assert told(files_in(tmp_path)) == ["a handshake with itself fails: certificate revoked"]
    assert told(replace(files_in(tmp_path), crl=None)) == []


def test_what_is_missing_is_named(outside: Outside, tmp_path: Path) -> None:
    outside.issue(tmp_path, "ec", 256, uri_sans="")
    assert any("exactly one URI" in line for line in told(files_in(tmp_path)))

    outside.issue(tmp_path, "ec", 256)
    outside.issue(other := tmp_path / "other", "ec", 256)
    write_private(tmp_path / "tls.key", (other / "tls.key").read_bytes())
    assert any("cannot be used" in line for line in told(files_in(tmp_path)))

    (tmp_path / "tls.crt").unlink()
    assert told(files_in(tmp_path)) == [f"{tmp_path / 'tls.crt'} is missing"]
