"""What can be wrong with a log, a note or a proof. The message says what a reader should know."""


class TlogError(Exception):
    """Base of all failures of this library."""


class InvalidNote(TlogError):
    """The text is not a signed note, or not the checkpoint it should be."""


class BadSignature(InvalidNote):
    """A signature claims to be of a trusted key and is not: somebody changed something."""


class UntrustedNote(InvalidNote):
    """Well formed, but too few of the keys we trust have signed."""


class InvalidKey(TlogError):
    """The text is not a key of c2sp.org/signed-note."""


class InvalidProof(TlogError):
    """The proof does not lead to the root it should lead to."""


class MalformedRequest(TlogError):
    """Not a request, or not an answer, of c2sp.org/tlog-witness."""


class ObjectMissing(TlogError):
    """The store has no object of this name."""


class ObjectConflict(TlogError):
    """The name is taken by other bytes. Published bytes never change, so two writers are at
    work, or one of two copies is damaged."""


class DamagedLog(TlogError):
    """The files of a log contradict each other or its checkpoint."""


class LogRolledBack(TlogError):
    """The log is older than somebody remembers it: a copy was restored, or history was cut."""


class LogStopped(TlogError):
    """An append failed half-way. What is on disk is not known: open the log again."""
