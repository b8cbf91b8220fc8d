"""What has to happen so that a file's copies are as they should be. A pure rule.

Decided anew from what is there each time, so that nothing has to be remembered between two
attempts, and several causes (a policy, damage, a change, a draining element) need one answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from artstore.core.model.element import DrainState, ElementInfo, StorageMode
from artstore.core.model.ids import ElementId, FileId


class Purpose(StrEnum):
    """What the element that takes a file over is told."""

    COPY = "copy"
    """A file it lacks, or a later record of one it has."""
    REPAIR = "repair"
    """A file it holds damaged."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An element that has a file, as the catalogue knows it."""

    element_id: ElementId
    revision: int
    state: str
    """One of `core.catalogue.COPY_STATES`."""


@dataclass(frozen=True, slots=True)
class HeldFile:
    file_id: FileId
    size_bytes: int
    wanted: int
    """Copies that its collection asks for."""
    holders: tuple[Holder, ...]


@dataclass
class ElementView:
    """A registered element, and what it says of itself now: `None` when it does not answer."""

    element_id: ElementId
    url: str
    priority: int
    drain: DrainState
    info: ElementInfo | None
    promised_bytes: int = 0
    """Already planned for it, and not yet in its own figures."""

    @property
    def answers(self) -> bool:
        return self.info is not None

    def takes(self, size_bytes: int, kind: StorageMode) -> bool:
        return (
            self.info is not None
            and self.drain is DrainState.OFF
            and self.info.writable
            and self.info.mode == kind
            and self.info.capacity.available >= size_bytes + self.promised_bytes
        )


@dataclass(frozen=True, slots=True)
class Step:
    """`target` takes the file over from `source`."""

    file_id: FileId
    target: ElementId
    source: ElementId
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Plan:
    steps: list[Step] = field(default_factory=list)
    trouble: str | None = None
    """Why the copies will not be right even after the steps."""


NO_SOURCE: Final = "no element that answers has a good copy"
NO_TARGET: Final = "no other element of this mode has room and answers"
TARGET_AWAY: Final = "an element with an older or damaged copy does not answer"


def plan_for(file: HeldFile, elements: Mapping[ElementId, ElementView]) -> Plan:
    """Two copies never lie on one element; nothing is ever removed."""
    holders = [holder for holder in file.holders if holder.element_id in elements]
    newest = max((holder.revision for holder in holders), default=0)
    good = [each for each in holders if _is_good(each, newest)]
    source = _source(good, elements)
    if source is None:
        mending = _mend_newest(file, holders, newest, elements)
        if mending is not None:
            return Plan([mending])
        settled = len(good) == len(holders) and not _lacking(file, good, elements)
        return Plan(trouble=None if settled else NO_SOURCE)
    steps: list[Step] = []
    trouble = None
    for holder in holders:
        if holder in good:
            continue
        if not elements[holder.element_id].answers:
            trouble = TARGET_AWAY
            continue
        steps.append(_towards(file, holder, source))
    missing = 0 if source.state == "deleted" else _lacking(file, holders, elements)
    targets = targets_of(file, elements, _kind_of(elements[source.element_id]))[:missing]
    for target in targets:
        target.promised_bytes += file.size_bytes
        step = Step(file.file_id, target.element_id, source.element_id, Purpose.COPY)
        steps.append(step)
    if len(targets) < missing:
        trouble = NO_TARGET
    return Plan(steps, trouble)


def _is_good(holder: Holder, newest: int) -> bool:
    return holder.revision == newest and holder.state in ("present", "deleted")


def _source(good: Iterable[Holder], elements: Mapping[ElementId, ElementView]) -> Holder | None:
    answering = [each for each in good if elements[each.element_id].answers]
    # Deleted outweighs present; the lower name, so that all instances decide alike.
    return min(answering, key=lambda each: (each.state != "deleted", each.element_id), default=None)


def _mend_newest(
    file: HeldFile,
    holders: Iterable[Holder],
    newest: int,
    elements: Mapping[ElementId, ElementView],
) -> Step | None:
    """The newest record lies with damaged bytes, older ones with good bytes: those are the same
    under every revision."""
    whole = [holder for holder in holders if holder.state == "present"]
    source = _source(whole, elements)
    for holder in holders:
        damaged = holder.revision == newest and holder.state == "damaged"
        if source is not None and damaged and elements[holder.element_id].answers:
            return _towards(file, holder, source)
    return None


def _towards(file: HeldFile, holder: Holder, source: Holder) -> Step:
    damaged = holder.state in ("damaged", "missing") and source.state != "deleted"
    purpose = Purpose.REPAIR if damaged else Purpose.COPY
    return Step(file.file_id, holder.element_id, source.element_id, purpose)


def _lacking(
    file: HeldFile, holders: Iterable[Holder], elements: Mapping[ElementId, ElementView]
) -> int:
    """How many more elements should have it. One that drains is on its way out."""
    if any(holder.state == "deleted" for holder in holders):
        return 0
    staying = [each for each in holders if elements[each.element_id].drain is DrainState.OFF]
    return max(0, file.wanted - len(staying))


def _kind_of(source: ElementView) -> StorageMode:
    """What may be deleted goes where deletion is possible, the rest where it is not."""
    assert source.info is not None, "a source answers"
    return StorageMode.EDIT if source.info.mode is StorageMode.EDIT else StorageMode.RW


def targets_of(
    file: HeldFile, elements: Mapping[ElementId, ElementView], kind: StorageMode
) -> list[ElementView]:
    """Elements of this mode that do not have the file and have room for it, the first first."""
    holding = {holder.element_id for holder in file.holders}
    fitting = [
        element
        for element in elements.values()
        if element.element_id not in holding and element.takes(file.size_bytes, kind)
    ]
    return sorted(fitting, key=lambda element: (element.priority, element.element_id))
