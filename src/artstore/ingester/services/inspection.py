"""Looks at content on its way: what it is, and whether the collection takes it."""

from collections.abc import AsyncIterator

from artstore.core.errors import TypeMismatch, TypeNotAllowed
from artstore.core.logging import note
from artstore.core.metrics import TYPE_MISMATCHES
from artstore.core.model.admission import Admission, OnMismatch
from artstore.core.model.completion import Completion
from artstore.core.model.file import FileDraft
from artstore.ingester.services.archives import TAIL_BYTES
from artstore.ingester.services.content import Flowing
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.signatures import HEAD_BYTES, UNKNOWN, Found
from artstore.ingester.services.submission import guess_content_type
from artstore.ingester.services.types import base_of, is_allowed, settle

_SHORT_TAIL_BYTES = 1024
_ZIP_BEGINS = b"PK"


class Inspector:
    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    async def look_at(self, draft: FileDraft, content: bytes, rules: Admission) -> FileDraft:
        """The draft with what was found out about a content that is here as a whole.

        Raises:
            TypeMismatch, TypeNotAllowed: The collection does not want it.
        """
        found = await self._detector.detect(content[:HEAD_BYTES], content)
        content_type = judge(draft, found, rules)
        if content_type == draft.content_type:
            return draft
        return draft.model_copy(update={"content_type": content_type})

    def watch(self, draft: FileDraft, content: Flowing, rules: Admission) -> Flowing:
        """The same content, looked at while it flows. Its refusals are those of `look_at`."""
        inspection = Inspection(draft, rules, self._detector)
        return Flowing(inspection.pass_on(content.chunks), content.size, inspection.complete)


class Inspection:
    """Of one content that flows. Feed all of it, then `complete`."""

    def __init__(self, draft: FileDraft, rules: Admission, detector: Detector) -> None:
        self._draft = draft
        self._rules = rules
        self._detector = detector
        self._head = b""
        self._tail = bytearray()

    async def pass_on(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self.feed(chunk)
            yield chunk

    def feed(self, chunk: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        keep_bytes = TAIL_BYTES if self._head.startswith(_ZIP_BEGINS) else _SHORT_TAIL_BYTES
        if len(chunk) >= keep_bytes:
            self._tail = bytearray(chunk[-keep_bytes:])
            return
        self._tail += chunk
        # Not at each chunk: moving the rest forward costs more than keeping twice as much.
        if len(self._tail) > 2 * keep_bytes:
            del self._tail[:-keep_bytes]

    async def complete(self) -> Completion:
        """Raises as `Inspector.look_at`."""
        found = await self._detector.detect(self._head, bytes(self._tail))
        return Completion(content_type=judge(self._draft, found, self._rules))


def judge(draft: FileDraft, found: Found, rules: Admission) -> str:
    """The type under which the file is served, if the collection takes it at all."""
    declared = draft.declared_content_type
    if declared is not None and base_of(declared) == UNKNOWN:
        declared = None
    settled = settle(declared, guess_content_type(draft.original_filename), found)
    if settled.is_mismatch:
        TYPE_MISMATCHES.labels(rules.mismatch.value).inc()
        note(type_mismatch=settled.content_type)
        if rules.mismatch is OnMismatch.REFUSE:
            raise TypeMismatch(
                f"the content is {settled.content_type} and not what was declared",
                content_type=settled.content_type,
            )
    if not is_allowed(settled.content_type, rules.allowed_types):
        raise TypeNotAllowed(
            f"this collection does not take {settled.content_type}",
            content_type=settled.content_type,
            allowed_types=rules.allowed_types,
        )
    return settled.content_type
