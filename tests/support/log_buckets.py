"""A real object store (SeaweedFS) with a bucket for a log."""

import contextlib
import hmac
import json
import re
import signal
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from obstore.store import ObjectStore, S3Store
from tests.support.module_process import free_port
from tests.support.processes import running

ACCESS_KEY, SECRET_KEY = "log", "log-secret"
LOCK = (
    b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
    b"<DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention>"
    b"</Rule></ObjectLockConfiguration>"
)
IDENTITY = {
    "name": "log",
    "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """Its endpoint."""
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [IDENTITY]}))
    names = ("master", "volume", "filer", "s3")
    ports = {f"{name}.port{grpc}": free_port() for name in names for grpc in ("", ".grpc")}
    weed = Path(sys.executable).with_name("weed")
    options = {
        **ports,
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3": "true",
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 20,
    }
    command = [str(weed), "server", *(f"-{name}={value}" for name, value in options.items())]
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    # Asked to stop, it takes half a minute; nothing in it is needed any more.
    with running(command, lambda _: _answers(endpoint), folder / "output", signal.SIGKILL):
        yield endpoint


def bucket(endpoint: str, name: str = "log", prefix: str = "audit") -> ObjectStore:
    """Made by its first object."""
    return S3Store(
        name,
        prefix=prefix,
        endpoint=endpoint,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=2)},
    )


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=1):
            return True
    except URLError as error:
        return getattr(error, "code", None) == 403
    except OSError:
        return False


class WormBucket:
    """A bucket with object lock: each object is locked for a day from the moment it is there.

    The client of the log cannot make one, so requests are signed here (AWS Signature Version 4).
    """

    def __init__(self, endpoint: str, name: str) -> None:
        self._endpoint = endpoint
        self.name = name
        made, _ = self.request("PUT", headers={"x-amz-bucket-object-lock-enabled": "true"})
        locked, _ = self.request("PUT", query="object-lock=", body=LOCK)
        assert (made, locked) == (200, 200)

    def delete_for_good(self, path: str) -> int:
        """The status of the try to remove the newest version of an object, as its owner."""
        _, listed = self.request("GET", query=f"prefix={quote(path, safe='')}&versions=")
        (version, *_) = re.findall(r"<VersionId>([^<]+)</VersionId>", listed)
        status, _ = self.request("DELETE", path, query=f"versionId={quote(version, safe='')}")
        return status

    def request(
        self,
        method: str,
        path: str = "",
        *,
        query: str = "",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        now = datetime.now(UTC)
        target = f"/{self.name}/{path}" if path else f"/{self.name}"
        signed = {
            "host": self._endpoint.removeprefix("http://"),
            "x-amz-content-sha256": sha256(body).hexdigest(),
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
            **(headers or {}),
        }
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = "\n".join([method, target, query, lines, names, signed["x-amz-content-sha256"]])
        scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
        digest = sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{signed['x-amz-date']}\n{scope}\n{digest}"
        key = f"AWS4{SECRET_KEY}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, "
            f"Signature={key.hex()}"
        )
        url = f"{self._endpoint}{target}?{query}"
        request = urllib.request.Request(url, body or None, signed, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
