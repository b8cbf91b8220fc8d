"""What an ingester finds out about content while it passes, and tells behind it.

The last bytes of a large file decide its type and whether it is clean, so they are told last: a
storage element does not make a file of an upload that was announced with a completion and lacks
it. Both sides use this file; the format is fixed in `docs/formats/files-batch.md`.
"""

from typing import Final

from pydantic import ValidationError

from artstore.core.errors import InvalidRequest
from artstore.core.model.file import ContentType, FileDraft, Model, Scan

COMPLETION_BYTES: Final = 2048
"""JSON, filled up with spaces: so whoever reads a body of unknown length knows where it begins."""


class Completion(Model):
    """`None`: as the draft has it."""

    content_type: ContentType | None = None
    scan: Scan | None = None

    def fill_in(self, draft: FileDraft) -> FileDraft:
        changes: dict[str, object] = {}
        if self.content_type is not None:
            changes["content_type"] = self.content_type
        if self.scan is not None:
            changes["scan"] = self.scan
        return draft.model_copy(update=changes) if changes else draft


class StreamedDraft(FileDraft):
    """The head of an upload that streams."""

    completion_follows: bool = False


def pack_completion(completion: Completion) -> bytes:
    data = completion.model_dump_json(exclude_none=True).encode().ljust(COMPLETION_BYTES)
    if len(data) > COMPLETION_BYTES:
        raise ValueError("what was found out about a file is too long to be told")
    return data


def unpack_completion(data: bytes) -> Completion:
    """Raises `InvalidRequest`, also for one that is cut."""
    try:
        return Completion.model_validate_json(data)
    except ValidationError:
        raise InvalidRequest("the upload ends without its completion", field="body") from None
