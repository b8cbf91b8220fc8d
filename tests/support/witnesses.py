"""A witness as a real process, and a log that asks it over HTTP."""

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.support.module_process import free_port, listens
from tests.support.processes import running

from artstore.core.tlog.log import Log
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.note import SignatureLine
from artstore.core.tlog.witnessing import Answer, cosigning


@dataclass(frozen=True)
class WitnessFiles:
    """What the operator of a witness has."""

    folder: Path
    keys: tuple[VerifierKey, ...]

    @classmethod
    def make(
        cls, folder: Path, logs: Iterable[VerifierKey], name: str = "witness.example/w1"
    ) -> "WitnessFiles":
        init = run_witness("init", "--key-file", folder / "key", "--name", name)
        (folder / "logs").write_text("".join(f"{key}\n" for key in logs))
        return cls(folder, tuple(map(VerifierKey.parse, init.stdout.split())))

    @property
    def options(self) -> list[str]:
        paths = {"--key-file": "key", "--logs-file": "logs", "--state": "state"}
        return [
            text for option, name in paths.items() for text in (option, str(self.folder / name))
        ]


def run_witness(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command of the witness that ends by itself."""
    command = [sys.executable, "-m", "artstore.witness", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@dataclass(frozen=True)
class RunningWitness:
    url: str
    files: WitnessFiles
    process: "subprocess.Popen[bytes]"
    client: httpx2.Client

    def ask(self, log: Log, known_size: int = 0) -> tuple[SignatureLine, ...]:
        """Cosignatures for the newest checkpoint of a log."""
        flow = cosigning(log.reader(), log.note, self.files.keys, known_size)
        body = next(flow)
        while True:
            try:
                body = flow.send(self.post(body))
            except StopIteration as end:
                lines: tuple[SignatureLine, ...] = end.value
                return lines

    def post(self, body: bytes) -> Answer:
        response = self.client.post(f"{self.url}/add-checkpoint", content=body)
        media_type = response.headers.get("content-type", "").partition(";")[0]
        return Answer(response.status_code, media_type, response.content)


@contextlib.contextmanager
def running_witness(files: WitnessFiles, *options: object) -> Iterator[RunningWitness]:
    port = free_port()
    command = [sys.executable, "-m", "artstore.witness", "serve", *files.options]
    command += ["--port", str(port), *map(str, options)]
    scheme = "https" if "--tls-key-file" in options else "http"
    url = f"{scheme}://127.0.0.1:{port}"
    with (
        running(command, lambda _: listens(port), files.folder / "output") as process,
        httpx2.Client() as client,
    ):
        yield RunningWitness(url, files, process, client)
