"""Judges element.json."""

from pydantic import ValidationError

from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.fs import Fs, read_file
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.findings import Finding


def read_element(fs: Fs, layout: Layout) -> ElementFile | Finding:
    try:
        return ElementFile.model_validate_json(read_file(fs, layout.element, from_disk=True))
    except FileNotFoundError:
        cause = "it is not there"
    except ValidationError:
        cause = "it is not a valid element.json"
    except OSError as error:
        cause = f"it cannot be read: {error.strerror or error}"
    path = layout.element.removeprefix(f"{layout.root}/")
    return Finding(FindingKind.ELEMENT_DAMAGED, None, path, cause)


def foreign_element(layout: Layout, found: ElementFile, expected: ElementFile) -> Finding | None:
    """Args: `expected`: what the running element is."""
    if (found.element_id, found.feed_id) == (expected.element_id, expected.feed_id):
        return None
    path = layout.element.removeprefix(f"{layout.root}/")
    cause = "it is not the one that this element was started with"
    return Finding(FindingKind.ELEMENT_DAMAGED, None, path, cause)
