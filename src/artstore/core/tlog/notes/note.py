"""c2sp.org/signed-note: a text, and under it who signed it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from artstore.core.tlog.errors import InvalidKey, InvalidNote, UntrustedNote
from artstore.core.tlog.notes.encoding import decode_base64, encode_base64
from artstore.core.tlog.notes.keys import SigningKey, VerifierKey, check_key_name

NOTE_BYTES_MAX = 1 << 17
"""Room for 32 signatures of ML-DSA-44, 3.3 KB each."""

SIGNATURES_MAX = 32
_DASH = "\N{EM DASH} "


@dataclass(frozen=True)
class SignatureLine:
    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """From one line without its newline. Raises `InvalidNote`."""
        try:
            name, encoded = line.removeprefix(_DASH).split(" ")
            check_key_name(name)
            data = decode_base64(encoded)
        except (ValueError, InvalidKey):
            data = b""
        if not line.startswith(_DASH) or len(data) <= 4:
            raise InvalidNote("a signature line is malformed")
        return cls(name, data[:4], data[4:])


@dataclass(frozen=True)
class Signed:
    """A signature that was verified. `at` is the time in it (seconds since 1970), if any."""

    key: VerifierKey
    at: int | None


@dataclass(frozen=True)
class Note:
    text: str
    """Ends with a newline."""
    signatures: tuple[SignatureLine, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises `InvalidNote`."""
        if len(data) > NOTE_BYTES_MAX:
            raise InvalidNote(f"a note has at most {NOTE_BYTES_MAX} bytes")
        try:
            whole = data.decode()
        except UnicodeDecodeError:
            raise InvalidNote("a note is UTF-8") from None
        if any(char < " " and char != "\n" for char in whole):
            raise InvalidNote("a note has no control characters")
        body, blank, signatures = whole.rpartition("\n\n")
        if not blank or not signatures.endswith("\n"):
            raise InvalidNote("a note is a text, an empty line and signatures")
        return cls(body + "\n", parse_signatures(signatures))

    def to_bytes(self) -> bytes:
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()

    def with_signatures(self, more: Iterable[SignatureLine]) -> Self:
        """The same note with further signatures; those it has already are not repeated."""
        new = tuple(line for line in dict.fromkeys(more) if line not in self.signatures)
        return replace(self, signatures=self.signatures + new)

    def verified(self, keys: Iterable[VerifierKey]) -> tuple[Signed, ...]:
        """Whose signatures are there and true, in the order of the note.

        Lines of unknown keys are left out, as the format demands.

        Raises:
            BadSignature: A line names one of `keys` and is not its signature.
            UntrustedNote: None of `keys` signed.
        """
        known = {(key.name, key.key_id): key for key in keys}
        signed: dict[VerifierKey, Signed] = {}
        for line in self.signatures:
            key = known.get((line.name, line.key_id))
            if key is not None:
                signed[key] = Signed(key, key.verify(self.text, line.signature))
        if not signed:
            raise UntrustedNote("none of the keys we trust has signed this")
        return tuple(signed.values())


def parse_signatures(lines: str) -> tuple[SignatureLine, ...]:
    """From lines that each end with a newline. Raises `InvalidNote`."""
    parts = lines.split("\n")
    if parts.pop() or not parts or len(parts) > SIGNATURES_MAX:
        raise InvalidNote(f"a note has 1 to {SIGNATURES_MAX} signature lines")
    return tuple(SignatureLine.parse(part) for part in parts)


def sign(text: str, keys: Sequence[SigningKey], timestamp: int) -> Note:
    """A new note. `timestamp`: seconds since 1970, for keys whose signatures hold a time."""
    return Note(text, tuple(signature_line(text, key, timestamp) for key in keys))


def signature_line(text: str, key: SigningKey, timestamp: int) -> SignatureLine:
    return SignatureLine(key.name, key.verifier.key_id, key.sign(text, timestamp))
