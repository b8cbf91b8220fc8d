"""Why an element does not start. The message is for the operator and says what to do."""


class ElementRefused(Exception):
    """The element must not start in this state."""


class ElementInUse(ElementRefused):
    """Another process serves this root."""


class ElementMismatch(ElementRefused):
    """The root belongs to another element, or is of a format this program does not know."""


class LogCorrupt(ElementRefused):
    """The log is damaged where it had been durable. Nothing was cut or changed."""
