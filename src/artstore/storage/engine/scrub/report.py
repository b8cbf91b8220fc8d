"""Tells of damage that somebody else met, without waiting for the next pass."""

from artstore.core.model.ids import FileId
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.scrub.inspection import Inspection
from artstore.storage.engine.scrub.round import Element
from artstore.storage.engine.scrub.walk import Group


class DamageReport:
    def __init__(self, element: Element, docket: Docket) -> None:
        self._element = element
        self._docket = docket

    def look_at(self, file_id: FileId) -> None:
        """Read the file again, with its claim held, and record what is wrong with it."""
        element = self._element
        inspection = Inspection(
            element.shelf,
            element.layout,
            lambda _: None,
            content_expected=element.content_expected(),
        )
        directory, _, name = element.layout.attr(file_id).rpartition("/")
        with element.claims.held(file_id):
            element.check()
            for finding in inspection.group(Group(directory, [name])):
                self._docket.record(finding)
