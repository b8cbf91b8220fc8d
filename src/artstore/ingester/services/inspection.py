"""Looks at content on its way: what it is, whether it is clean, whether the collection takes it."""

from collections.abc import AsyncIterator

from artstore.core.antivirus import ScanStream
from artstore.core.archives import HEAD_BYTES, Ends
from artstore.core.errors import TypeMismatch, TypeNotAllowed
from artstore.core.logging import note
from artstore.core.metrics import TYPE_MISMATCHES
from artstore.core.model.admission import Admission, OnMismatch
from artstore.core.model.completion import Completion
from artstore.core.model.file import FileDraft
from artstore.ingester.services.content import Flowing
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.scanning import Scanning
from artstore.ingester.services.signatures import UNKNOWN, Found
from artstore.ingester.services.submission import guess_content_type
from artstore.ingester.services.types import base_of, is_allowed, settle


class Inspector:
    def __init__(self, detector: Detector, scanning: Scanning) -> None:
        self._detector = detector
        self._scanning = scanning

    async def look_at(self, draft: FileDraft, content: bytes, rules: Admission) -> FileDraft:
        """The draft with what was found out about a content that is here as a whole.

        Raises:
            TypeMismatch, TypeNotAllowed, FileInfected: The collection does not want it.
            NotScannable, ScannerUnavailable: It takes only what was scanned.
        """
        found = await self._detector.detect(content[:HEAD_BYTES], content, said_of(draft))
        content_type = judge(draft, found, rules)
        if content_type != draft.content_type:
            draft = draft.served_as(content_type)
        if self._scanning.is_wanted(rules):
            scan = await self._scanning.scan(content, rules)
            draft = draft.model_copy(update={"scan": scan})
        return draft

    def watch(self, draft: FileDraft, content: Flowing, rules: Admission) -> Flowing:
        """The same content, looked at while it flows. Its refusals are those of `look_at`."""
        inspection = self.begin(draft, rules)
        return Flowing(inspection.pass_on(content.chunks), content.size, inspection.complete)

    def begin(self, draft: FileDraft, rules: Admission) -> "Inspection":
        return Inspection(draft, rules, self._detector, self._scanning)

    def reads_all(self, rules: Admission) -> bool:
        """Whether more than the beginning and the end is looked at."""
        return self._scanning.is_wanted(rules)


class Inspection:
    """Of one content that flows. Feed all of it, then `complete`; `close` in any case."""

    def __init__(
        self, draft: FileDraft, rules: Admission, detector: Detector, scanning: Scanning
    ) -> None:
        self._draft = draft
        self._rules = rules
        self._detector = detector
        self._scanning = scanning
        self._stream: ScanStream | None = None
        if scanning.is_wanted(rules):
            self._stream = scanning.begin()
        self._ends = Ends()

    async def pass_on(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                await self.feed(chunk)
                yield chunk
        except BaseException:
            self.close()
            raise

    async def feed(self, chunk: bytes) -> None:
        if self._stream is not None:
            await self._stream.feed(chunk)
        self.glance_at(chunk)

    def glance_at(self, chunk: bytes) -> None:
        """For its type only."""
        self._ends.feed(chunk)

    async def complete(self) -> Completion:
        """Raises as `Inspector.look_at`."""
        try:
            said = said_of(self._draft)
            found = await self._detector.detect(self._ends.head, self._ends.tail, said)
            content_type = judge(self._draft, found, self._rules)
            scan = await self._scanning.verdict(self._stream, self._ends, self._rules)
        finally:
            self.close()
        return Completion(content_type=content_type, scan=scan)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def said_of(draft: FileDraft) -> str:
    """What the sender says it is, be it only by its name."""
    return _declared(draft) or guess_content_type(draft.original_filename)


def _declared(draft: FileDraft) -> str | None:
    declared = draft.declared_content_type
    return None if declared is None or base_of(declared) == UNKNOWN else declared


def judge(draft: FileDraft, found: Found, rules: Admission) -> str:
    """The type under which the file is served, if the collection takes it at all."""
    settled = settle(_declared(draft), guess_content_type(draft.original_filename), found)
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
