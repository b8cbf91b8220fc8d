"""The scanner of the embedded stack: started where there is one, with the limits that we need."""

from pathlib import Path

import pytest
from tests.support.clamd import EICAR
from tests.support.processes import running, short_folder

from artstore.core.antivirus import Scanner
from artstore.core.clock import SystemClock
from artstore.local import clamd
from artstore.local.clamd import Clamd, missing


def test_it_says_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(clamd.ADDRESS_VARIABLE, raising=False)
    monkeypatch.setenv(clamd.SIGNATURES_VARIABLE, str(tmp_path))
    monkeypatch.setattr(clamd, "clamd_program", lambda: tmp_path / "clamd")
    assert missing() == f"there are no signatures in {tmp_path}"
    (tmp_path / "daily.cvd").touch()
    assert missing() is None
    monkeypatch.setattr(clamd, "clamd_program", lambda: None)
    assert missing() == "clamd is not on this machine"
    monkeypatch.setenv(clamd.ADDRESS_VARIABLE, "tcp://scanner:3310")
    assert missing() == "ARTSTORE_ANTIVIRUS_ADDRESS names one"


async def test_it_scans_with_our_configuration() -> None:
    program = clamd.clamd_program()
    if program is None:
        pytest.skip("clamd is not installed")
    with short_folder() as folder:
        (folder / "signatures").mkdir()
        (folder / "signatures" / "a.ndb").write_text(f"A.Test:0:*:{EICAR.hex()}\n")
        server = Clamd(program, folder / "signatures", folder / "clamd.conf", folder)
        server.configure()
        with running(server.command(), lambda _: server.is_ready(), folder / "log"):
            scanner = Scanner(server.address, 1000, SystemClock())
            assert (await scanner.scan(b"clean")).verdict == "clean"
            assert (await scanner.scan(b"x" + EICAR)).reason == "A.Test.UNOFFICIAL"
            assert await scanner.look()
