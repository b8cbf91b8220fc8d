"""Buckets of a real object store (SeaweedFS) for a log to lie in."""

import re
from base64 import b64encode
from datetime import timedelta
from hashlib import md5

from obstore.store import S3Store
from tests.support.seaweedfs import CREDENTIALS, SeaweedFs

LOCK = (
    b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
    b"<DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention>"
    b"</Rule></ObjectLockConfiguration>"
)


def open_bucket(endpoint: str, name: str, prefix: str) -> S3Store:
    return S3Store(
        name,
        prefix=prefix,
        endpoint=endpoint,
        access_key_id=CREDENTIALS.access_key,
        secret_access_key=CREDENTIALS.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=2)},
    )


class WormBucket:
    """A bucket with object lock: each object is locked for a day from the moment it is there."""

    def __init__(self, weed: SeaweedFs, name: str) -> None:
        self._requests = weed.requests(name)
        made = self._requests.send("PUT", headers={"x-amz-bucket-object-lock-enabled": "true"})
        digest = {"content-md5": b64encode(md5(LOCK).digest()).decode()}
        locked = self._requests.send("PUT", query={"object-lock": ""}, body=LOCK, headers=digest)
        assert (made.status, locked.status) == (200, 200)

    def delete_for_good(self, path: str) -> int:
        """The status of the try to remove the newest version of an object, as its owner."""
        listed = self._requests.send("GET", query={"prefix": path, "versions": ""}).body
        version = re.findall(rb"<VersionId>([^<]+)</VersionId>", listed)[0].decode()
        return self._requests.send("DELETE", path, query={"versionId": version}).status
