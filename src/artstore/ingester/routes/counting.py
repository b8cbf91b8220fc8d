"""Every upload is counted once, by how it ended."""

from types import TracebackType

from starlette.requests import ClientDisconnect

from artstore.core.errors import ArtStoreError
from artstore.core.metrics import UPLOAD_SIZE, UPLOADS
from artstore.core.model.file import FileRecord
from artstore.core.web.problems import status_of

_ACCEPTED = UPLOADS.labels("accepted")


class counting_failures:  # noqa: N801  used as a function; a generator costs twice as much
    def __enter__(self) -> None: ...

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if isinstance(error, ArtStoreError):
            UPLOADS.labels("failed" if status_of(error) >= 500 else "refused").inc()
        elif isinstance(error, ClientDisconnect):
            UPLOADS.labels("aborted").inc()


def count_accepted(record: FileRecord) -> None:
    _ACCEPTED.inc()
    UPLOAD_SIZE.observe(record.size)
