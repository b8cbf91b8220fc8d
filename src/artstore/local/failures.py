"""The one base of what can go wrong in front of the person who runs the stack."""


class StackFailure(Exception):
    """The message is for the person at the terminal: what is wrong and what to do."""
