"""A bucket as the contract checks use it: small, and each method one promise of S3."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Final, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from artstore.storage.engine.backends.base import StoreAway
from artstore.storage.engine.backends.object_failures import reaching
from artstore.storage.engine.backends.s3_requests import Answer, SignedRequests

Feature = Literal["versioning", "object_lock"]
PART_BYTES: Final = 5 << 20
"""The smallest that S3 allows for all parts but the last."""

_UPLOAD: Final = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_KEY: Final = re.compile(r"<Key>(.*?)</Key>")
_UPLOAD_ID: Final = re.compile(r"<UploadId>(.*?)</UploadId>")
_OK: Final = 200
_NO_CONTENT: Final = 204
_NOT_FOUND: Final = 404
_REFUSED: Final = (401, 403)


class S3Bucket:
    """Args: `prefix`: of all keys; empty, or without slashes at its ends."""

    def __init__(self, store: S3Store, requests: SignedRequests, prefix: str) -> None:
        self._store = store
        self._requests = requests
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, key: str, data: bytes) -> str | None:
        with reaching():
            return obstore.put(self._store, key, data, use_multipart=False)["e_tag"]

    def create(self, key: str, data: bytes) -> bool:
        """False: there is one already."""
        try:
            with reaching(AlreadyExistsError):
                obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def replace(self, key: str, data: bytes, e_tag: str) -> bool:
        """False: the object is not the one of `e_tag`."""
        try:
            with reaching(PreconditionError):
                obstore.put(self._store, key, data, mode={"e_tag": e_tag})
        except PreconditionError:
            return False
        return True

    def put_with_checksum(self, key: str, data: bytes, claimed: bytes) -> bool:
        """With the SHA-256 of `claimed`. False: refused."""
        checksum = base64.b64encode(hashlib.sha256(claimed).digest()).decode()
        headers = {"x-amz-checksum-sha256": checksum}
        answer = self._requests.send("PUT", self._prefix + key, headers=headers, body=data)
        return answer.status == _OK

    def get(self, key: str) -> bytes | None:
        try:
            with reaching():
                return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            return None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        with reaching():
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def names(self, folder: str, behind: str | None = None) -> list[str]:
        with reaching():
            listed = obstore.list(self._store, folder, offset=behind)
            return [entry["path"] for batch in listed for entry in batch]

    def delete(self, key: str) -> None:
        with reaching():
            obstore.delete(self._store, key)

    def upload(self, key: str, blocks: Iterator[bytes]) -> None:
        """In parts. If `blocks` fails, the upload is aborted."""
        with reaching():
            obstore.put(
                self._store,
                key,
                blocks,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=1,
            )

    def unfinished_uploads(self, folder: str) -> list[tuple[str, str]]:
        """Full keys and upload ids, at most a thousand."""
        query = {"uploads": "", "prefix": f"{self._prefix}{folder}/"}
        answer = self._expect(self._requests.send("GET", query=query), _OK)
        uploads = _UPLOAD.findall(answer.body.decode())
        return [(_text(_KEY, upload), _text(_UPLOAD_ID, upload)) for upload in uploads]

    def abort_upload(self, full_key: str, upload_id: str) -> None:
        answer = self._requests.send("DELETE", full_key, query={"uploadId": upload_id})
        self._expect(answer, _NO_CONTENT, _OK, _NOT_FOUND)

    def time(self) -> datetime:
        answer = self._requests.send("GET", query={"location": ""})
        return parsedate_to_datetime(self._expect(answer, _OK).headers["date"])

    def has(self, feature: Feature) -> bool:
        query = {"versioning": ""} if feature == "versioning" else {"object-lock": ""}
        answer = self._requests.send("GET", query=query)
        return answer.status == _OK and b">Enabled<" in answer.body

    def _expect(self, answer: Answer, *statuses: int) -> Answer:
        if answer.status in _REFUSED:
            raise StoreAway("the object store refuses our credentials")
        if answer.status not in statuses:
            raise StoreAway(f"the object store answers {answer.status} to a question it must know")
        return answer


def _text(pattern: re.Pattern[str], xml: str) -> str:
    found = pattern.search(xml)
    return unescape(found[1]) if found else ""


def abort_unfinished(bucket: S3Bucket, folder: str) -> int:
    """What a process that was killed left of its uploads. Returns how many."""
    uploads: Sequence[tuple[str, str]] = bucket.unfinished_uploads(folder)
    for key, upload_id in uploads:
        bucket.abort_upload(key, upload_id)
    return len(uploads)
