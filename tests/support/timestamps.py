"""A real time-stamping authority: `openssl ts` behind a small HTTP server."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIGURATION = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[stamping]
basicConstraints = CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """Certificates in `folder`; answers requests with `openssl ts -reply`."""

    folder: Path
    away: bool = False
    asked: int = field(default=0)

    @classmethod
    def make(cls, folder: Path, name: str = "Test TSA") -> "Authority":
        folder.mkdir(exist_ok=True)
        made = cls(folder)
        (folder / "openssl.cnf").write_text(CONFIGURATION.format(folder=folder))
        (folder / "serial").write_text("01\n")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
        made.openssl(
            *("req", "-x509", *key, "-subj", f"/CN={name} root", "-extensions", "authority"),
            *("-keyout", "ca.key", "-out", "ca.pem", "-config", "openssl.cnf"),
        )
        made.openssl(
            *("req", "-x509", *key, "-subj", f"/CN={name}", "-extensions", "stamping"),
            *("-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-keyout", "tsa.key", "-out", "tsa.pem", "-config", "openssl.cnf"),
        )
        return made

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def reply(self, query: bytes) -> bytes:
        self.asked += 1
        (self.folder / "query").write_bytes(query)
        return self.openssl(
            *("ts", "-reply", "-config", "openssl.cnf", "-section", "ours", "-queryfile", "query")
        )

    def openssl(self, *arguments: str) -> bytes:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Its URL."""
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                if authority.away or self.headers["Content-Type"] != "application/timestamp-query":
                    self.send_error(503)
                    return
                answer = authority.reply(query)
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                # As a network brings it: not all at once.
                for start in range(0, len(answer), 700):
                    self.wfile.write(answer[start : start + 700])
                    time.sleep(0.02)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
