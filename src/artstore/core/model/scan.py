"""What the admin module orders of elements, so that stored files are scanned again."""

from artstore.core.model.admission import OnUnscanned
from artstore.core.model.file import Model, Text


class ScannerState(Model):
    engine: Text | None
    """Scanner and signatures; `None`: none is set up, or it does not answer."""


class ScanOrder(Model):
    unscanned: OnUnscanned | None = None
    """The rule of the file's collection."""
