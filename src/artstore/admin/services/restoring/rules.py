"""What can be restored from where. Pure rules."""

from collections.abc import Mapping

from artstore.admin.services.copies.planning import ElementView, HeldFile
from artstore.core.model.element import StorageMode
from artstore.core.model.ids import ElementId


def sources_of(file: HeldFile, view: Mapping[ElementId, ElementView]) -> list[ElementView]:
    """Elements whose archive has it, as far as they answer; always in the same order."""
    found = [each for each in _holding(file, view) if _mode_of(each) is StorageMode.AR]
    return sorted(found, key=lambda element: (element.priority, element.element_id))


def is_readable(file: HeldFile, view: Mapping[ElementId, ElementView]) -> bool:
    """Some element hands it out as it is."""
    modes = {_mode_of(each) for each in _holding(file, view)}
    return bool(modes - {None, StorageMode.AR})


def _holding(file: HeldFile, view: Mapping[ElementId, ElementView]) -> list[ElementView]:
    present = [each.element_id for each in file.holders if each.state == "present"]
    return [view[element_id] for element_id in present if element_id in view]


def _mode_of(element: ElementView) -> StorageMode | None:
    """`None`: it does not answer."""
    return element.info.mode if element.info is not None else None


def is_damaged(file: HeldFile, view: Mapping[ElementId, ElementView]) -> bool:
    """Whoever has it found that it is not what was stored, and nobody has it whole."""
    states = {each.state for each in file.holders if each.element_id in view}
    return "damaged" in states and "present" not in states
