"""Every upload is counted once, by how it ended."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect

from artstore.core.errors import ArtStoreError
from artstore.core.metrics import UPLOAD_SIZE, UPLOADS
from artstore.core.model.file import FileRecord
from artstore.core.web.problems import status_of


@contextmanager
def counting_failures() -> Iterator[None]:
    try:
        yield
    except ArtStoreError as error:
        UPLOADS.labels("failed" if status_of(error) >= 500 else "refused").inc()
        raise
    except ClientDisconnect:
        UPLOADS.labels("aborted").inc()
        raise


def count_accepted(record: FileRecord) -> None:
    UPLOADS.labels("accepted").inc()
    UPLOAD_SIZE.observe(record.size)
