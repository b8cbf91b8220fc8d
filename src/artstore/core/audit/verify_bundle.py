"""Checks a proof bundle: that a document is the one that was deposited, and that what the archive
says happened to it was written down then and not changed since.

It is put into every bundle as `verify.py`. It needs Python 3.8 or newer and the package
`cryptography`, and nothing of ArtStore; it reads the bundle and no network.

    python3 verify.py                             the bundle that this file lies in
    python3 verify.py proof.zip                   a bundle that was not unpacked
    python3 verify.py --key KEY --witness KEY     with keys that you have from elsewhere, each
                                                  a key or the name of a file with keys

The formats are public: RFC 6962 (the tree), RFC 8785 (how a record is spelled), and of
c2sp.org: tlog-proof, tlog-checkpoint, signed-note, tlog-cosignature.
"""

# One file, and nothing shared with the code that writes bundles: somebody who trusts nobody must
# be able to read it in an hour, and a mistake in the one must not hide in the other.

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import struct
import sys
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, NamedTuple  # noqa: UP035  for Python 3.8

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.stdout.write(
        "NOT CHECKED. Signatures cannot be checked on this machine: Python lacks its package "
        '"cryptography".\nInstall it with: python3 -m pip install cryptography\n'
    )
    sys.exit(2)

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older cryptography: the Ed25519 signatures are enough
    MLDSA44PublicKey = None  # type: ignore[assignment,misc]

STAMPED = ("checkpoint", "checkpoint.tsr")
ED25519, ED25519_TIMED, ML_DSA_44_TIMED = 1, 4, 6
RECEIPT, RECEIPT_KEY = "receipt.jws", "receipt-key"
RECEIPT_HEADER = {"alg": "Ed25519", "typ": "artstore-receipt+jws"}
KNOWN_FILES = {"README.txt", "verify.py", "keys.json", "attr.json", RECEIPT, *STAMPED}
CLOCK_SKEW_S = 300
NOT_THIS_KEY = "The receipt is not signed with the key that the log names."
CHUNK_BYTES = 1 << 20
FILE_BYTES_MAX = 4 << 20
"""Of any file but the document: more than the archive would write, and nothing to fear."""


class NotProven(Exception):
    """The bundle does not prove what it should. The message is for its reader."""


def need(condition: bool, sentence: str) -> None:
    if not condition:
        raise NotProven(sentence)


# --- signatures ---------------------------------------------------------------------------


class Key(NamedTuple):
    name: str
    key_id: bytes
    algorithm: int
    public: bytes


class Signature(NamedTuple):
    key: Key
    at: int | None


def read_key(text: str) -> Key:
    try:
        name, key_id, encoded = text.strip().split("+", 2)
        tagged = base64.b64decode(encoded, validate=True)
        key = Key(name, bytes.fromhex(key_id), tagged[0], tagged[1:])
    except (ValueError, IndexError):
        raise NotProven(f"This is not a public key: {text[:80]!r}.") from None
    expected = hashlib.sha256(name.encode() + b"\n" + tagged).digest()[:4]
    need(key.key_id == expected, f"The public key of {name} is damaged.")
    return key


def keys_of(given: list[str]) -> list[Key]:
    """Each a key, or a file of keys as the archive prints them: a word, then the key."""
    found = []
    for text in given:
        lines = [text]
        if "+" not in text:
            try:
                lines = Path(text).read_text("utf-8").splitlines()
            except (OSError, ValueError):
                sentence = f"Neither a public key nor a file of them: {text[:80]!r}."
                raise NotProven(sentence) from None
        meant = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        found += [read_key(words[-1]) for words in meant]
    return found


def signed_by(text: str, lines: list[str], keys: list[Key]) -> list[Signature]:
    """The true signatures of `keys` under a text. A false one spoils everything."""
    found = []
    for line in lines:
        need(line.startswith("\u2014 ") and line.count(" ") == 2, "A signature line is damaged.")
        _, name, encoded = line.split(" ")
        try:
            data = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise NotProven("A signature line is damaged.") from None
        for key in keys:
            if (key.name, key.key_id) == (name, data[:4]) and can_check(key):
                found.append(Signature(key, check_signature(text, key, data[4:])))
    return found


def can_check(key: Key) -> bool:
    """Whether this machine knows the algorithm: ML-DSA needs a new OpenSSL as well."""
    if key.algorithm != ML_DSA_44_TIMED:
        return True
    if MLDSA44PublicKey is None:
        return False
    try:
        MLDSA44PublicKey.from_public_bytes(key.public)
    except UnsupportedAlgorithm:
        return False
    except ValueError:
        pass  # said to be false when it is used
    return True


def check_signature(text: str, key: Key, signature: bytes) -> int | None:
    """When it was signed, if the signature says so."""
    at = None
    if key.algorithm in (ED25519_TIMED, ML_DSA_44_TIMED):
        at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
    try:
        if key.algorithm == ML_DSA_44_TIMED:
            message = subtree_message(text, key.name, at or 0)
            MLDSA44PublicKey.from_public_bytes(key.public).verify(signature, message)
        else:
            head = "" if at is None else f"cosignature/v1\ntime {at}\n"
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, (head + text).encode())
    except (InvalidSignature, ValueError):
        raise NotProven(
            f"The signature of {key.name} is false: what it is said to have signed was changed, "
            "or somebody else has signed in its name."
        ) from None
    return at


def subtree_message(text: str, name: str, at: int) -> bytes:
    origin, size, root = text.split("\n")[:3]
    parts = [b"subtree/v1\n\0"]
    for part in (name, origin):
        parts.append(bytes([len(part.encode())]) + part.encode())
        if part is name:
            parts.append(struct.pack(">Q", at))
    return b"".join(parts) + struct.pack(">QQ", 0, int(size)) + base64.b64decode(root)


# --- the log ------------------------------------------------------------------------------


class Trust(NamedTuple):
    """Whom to believe."""

    origin: str
    log_keys: list[Key]
    witness_keys: list[Key]
    quorum: int


class State(NamedTuple):
    """A signed state of the log."""

    note: str
    size: int
    root: bytes
    witnesses: dict[str, int]


def read_state(note: str, trust: Trust) -> State:
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    need(bool(blank) and signatures.endswith("\n"), "The signed state of the log is damaged.")
    try:
        origin, size, encoded = text.split("\n")[:3]
        root = base64.b64decode(encoded, validate=True)
        entries = int(size)
    except ValueError:
        raise NotProven("The signed state of the log is damaged.") from None
    need(origin == trust.origin, f"This is a state of the log {origin}, not of {trust.origin}.")
    found = signed_by(text, signatures[:-1].split("\n"), trust.log_keys + trust.witness_keys)
    need(
        any(item.key in trust.log_keys for item in found),
        f"The log {origin} has not signed this state with a key that you trust.",
    )
    confirmed = [item for item in found if item.key in trust.witness_keys]
    witnesses = {item.key.name: item.at for item in confirmed if item.at}
    need(
        len(witnesses) >= trust.quorum,
        f"Only {len(witnesses)} of the {trust.quorum} witnesses that are needed have confirmed "
        "this state of the log: whoever holds the log's key may have made it up.",
    )
    return State(note, entries, root, witnesses)


def tree_root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root that a leaf at `index` of `size` leads to (RFC 9162, 2.1.3.2)."""
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = hashlib.sha256(b"\x01" + sibling + root).digest()
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            root = hashlib.sha256(b"\x01" + root + sibling).digest()
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def check_proof(proof: str, index: int, entry: bytes, trust: Trust) -> State:
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    need(
        lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {index}"],
        f"The proof of entry {index} is damaged, or is that of another entry.",
    )
    state = read_state(note, trust)
    try:
        path = [base64.b64decode(line, validate=True) for line in lines[2:]]
    except ValueError:
        raise NotProven(f"The proof of entry {index} is damaged.") from None
    leaf = hashlib.sha256(b"\x00" + entry).digest()
    need(
        0 <= index < state.size and tree_root(leaf, index, state.size, path) == state.root,
        f"Entry {index} is not what the archive's log holds in this place: the event or its "
        "proof was changed.",
    )
    return state


# --- the events ---------------------------------------------------------------------------


def spell(value: Any) -> bytes:
    """RFC 8785, for the values that audit records have."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


class Event(NamedTuple):
    number: int
    event: dict[str, Any]
    facts: dict[str, str]


def read_event(line: bytes, name: str) -> Event:
    try:
        record = json.loads(line)
        event, facts, index = record["event"], record["personal"], record["index"]
        opened = {field: fact["value"] for field, fact in facts.items()}
        salts = {field: bytes.fromhex(fact["salt"]) for field, fact in facts.items()}
        need(f"{index:012d}.json" == name, f"The event in {name} says it is entry {index}.")
        need(line == spell(record) + b"\n", f"The event in {name} is not written in its one way.")
        for field, value in opened.items():
            message = f"artstore-audit-commitment/1\n{field}\n{value}".encode()
            need(
                hmac.new(salts[field], message, "sha256").hexdigest() == event["personal"][field],
                f"Entry {index}: {field.replace('_', ' ')} is not the one that was recorded.",
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotProven(f"The event in {name} is damaged.") from None
    return Event(index, event, opened)


# --- the bundle ---------------------------------------------------------------------------


class Bundle:
    """A folder, or a zip file that was not unpacked."""

    def __init__(self, path: Path) -> None:
        need(path.exists(), f"There is no bundle at {path}.")
        try:
            self._zip = None if path.is_dir() else zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise NotProven(f"{path} is no zip file, or a damaged one.") from None
        self._folder = path

    def names(self) -> list[str]:
        if self._zip is not None:
            return [name for name in self._zip.namelist() if not name.endswith("/")]
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return [path.relative_to(self._folder).as_posix() for path in files]

    def open(self, name: str) -> BinaryIO:
        if self._zip is not None:
            return self._zip.open(name)  # type: ignore[return-value]
        return (self._folder / name).open("rb")

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            data = file.read(FILE_BYTES_MAX + 1)
        need(len(data) <= FILE_BYTES_MAX, f"{name} is larger than such a file can be.")
        return data

    def digest(self, name: str, size_max: int) -> tuple[str, int]:
        """SHA-256 and length; of a file longer than `size_max` those of its beginning."""
        digest, size = hashlib.sha256(), 0
        with self.open(name) as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                size += len(chunk)
                if size > size_max:
                    break
        return digest.hexdigest(), size


def verify(bundle: Bundle, trust: Trust) -> Iterator[str]:
    """What was found true, a sentence at a time. Raises `NotProven` at the first that is not."""
    names = sorted(bundle.names())
    need(len(names) == len(set(names)), "The bundle holds two files of one name.")
    events, state = proven_events(bundle, names, trust)
    yield f"The log {trust.origin} had {state.size} entries and has signed that."
    for witness, at in sorted(state.witnesses.items()):
        yield f"The witness {witness} confirmed it on {moment(at)}."
    if any(name in names for name in STAMPED):
        yield check_stamp(bundle, names, state)
    need("attr.json" in names, "The record of the document (attr.json) is missing.")
    attr = bundle.read("attr.json")
    record = check_record(attr, events)
    yield (
        f"The record of the document (attr.json, file {record['file_id']}) is the one that the "
        f"log holds, in revision {record['revision']}."
    )
    yield check_document(bundle, names, record, events)
    if RECEIPT in names:
        yield check_receipt(bundle, names, record, trust, state)
    for event in events:
        yield f"Entry {event.number}: {describe(event)}"


def check_stamp(bundle: Bundle, names: list[str], state: State) -> str:
    """A time stamp is that of an authority of its own; its signature is checked by OpenSSL."""
    need(all(name in names for name in STAMPED), "Half of the time stamp is missing.")
    checkpoint, stamp = map(bundle.read, STAMPED)
    need(
        checkpoint == state.note.encode() and hashlib.sha256(checkpoint).digest() in stamp,
        "The time stamp is that of another state of the log.",
    )
    return (
        "A time stamp lies beside this state. It counts if this command says OK, with the "
        "certificate that the time-stamping authority publishes: openssl ts -verify "
        "-data checkpoint -in checkpoint.tsr -CAfile AUTHORITY.pem"
    )


def proven_events(bundle: Bundle, names: list[str], trust: Trust) -> tuple[list[Event], State]:
    states: dict[str, State] = {}
    events = []
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder == "events":
            event = read_event(bundle.read(name), file)
            proof = f"proofs/{event.number:012d}.tlog-proof"
            need(proof in names, f"The proof of entry {event.number} is missing.")
            text = decoded(bundle.read(proof), proof)
            state = check_proof(text, event.number, spell(event.event), trust)
            states[state.note] = state
            events.append(event)
        elif folder == "proofs":
            need(
                f"events/{file.partition('.')[0]}.json" in names,
                f"The event that {name} proves is missing.",
            )
        else:
            need(
                folder == "document"
                or name in KNOWN_FILES
                or (folder == RECEIPT_KEY and RECEIPT in names),
                f"{name} lies in this bundle, and nothing proves it: take it out and check again.",
            )
    need(bool(events), "The bundle holds no events: it proves nothing.")
    need(len(states) == 1, "The events are proven against different states of the log.")
    return events, next(iter(states.values()))


def check_record(attr: bytes, events: list[Event]) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(attr)
        file_id, digests = record["file_id"], record["digests"]
        need(isinstance(digests, list) and len(digests) > 0, "attr.json names no digest.")
    except (ValueError, KeyError, TypeError):
        raise NotProven("The record of the document (attr.json) is damaged.") from None
    for event in events:
        need(
            event.event["file_id"] == file_id,
            f"Entry {event.number} is about another document.",
        )
    digest = hashlib.sha256(attr).hexdigest()
    recorded = [e.event["details"].get("record_sha256") for e in events]
    last = [item for item in recorded if item]
    need(bool(last), "No event in this bundle says what the record of the document is.")
    need(
        last[-1] == digest,
        "The record of the document (attr.json) is not the one that the log holds: it was "
        "changed, or the event of its last change is missing.",
    )
    return record


def check_document(
    bundle: Bundle, names: list[str], record: dict[str, Any], events: list[Event]
) -> str:
    deposits = [event for event in events if event.event["kind"] == "file.uploaded"]
    need(len(deposits) == 1, "The bundle does not hold the one event of the deposit.")
    details = deposits[0].event["details"]
    day = deposits[0].event["at"]
    expected = [item["value"] for item in record["digests"] if item["alg"] == "sha256"]
    need(
        expected == [details.get("sha256")] and record["size"] == details.get("size"),
        "The record of the document and the event of its deposit contradict each other.",
    )
    documents = [name for name in names if name.startswith("document/")]
    if record.get("deleted") is not None:
        need(not documents, "The archive deleted the document; what lies here is not proven.")
        return f"The document was deposited on {day} and deleted on {record['deleted']['at']}."
    need(len(documents) == 1, "The bundle must hold exactly one document.")
    digest, size = bundle.digest(documents[0], details["size"])
    found = f"{size} bytes and the SHA-256 {digest}"
    if size > details["size"]:
        found = f"more than {details['size']} bytes"
    need(
        (digest, size) == (details["sha256"], details["size"]),
        f"The document is not the one that was deposited on {day}. It has {found}; deposited "
        f"were {details['size']} bytes with {details['sha256']}.",
    )
    return f"The document is byte for byte the one that was deposited on {day}."


# --- the receipt --------------------------------------------------------------------------


class Receipt(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def read_receipt(token: bytes) -> Receipt:
    """A JSON Web Signature in compact form (RFC 7515)."""
    try:
        head, payload, signature = token.strip().split(b".")
        header, claims = json.loads(unbase64url(head)), json.loads(unbase64url(payload))
        need(isinstance(header, dict) and isinstance(claims, dict), "The receipt is damaged.")
        return Receipt(header, claims, head + b"." + payload, unbase64url(signature))
    except ValueError:
        raise NotProven("The receipt (receipt.jws) is damaged.") from None


def unbase64url(text: bytes) -> bytes:
    data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text:
        raise ValueError("not the one spelling")
    return data


class ReceiptKey(NamedTuple):
    kid: str
    public: bytes
    since: float
    until: int
    event: Event


def check_receipt(
    bundle: Bundle, names: list[str], record: dict[str, Any], trust: Trust, state: State
) -> str:
    receipt = read_receipt(bundle.read(RECEIPT))
    key = read_receipt_key(receipt_key_event(bundle, names, trust, state))
    need(receipt.header == {**RECEIPT_HEADER, "kid": key.kid}, NOT_THIS_KEY)
    try:
        public = Ed25519PublicKey.from_public_bytes(key.public)
        public.verify(receipt.signature, receipt.signed)
    except (InvalidSignature, ValueError):
        raise NotProven(
            "The signature of the receipt is false: the receipt was changed, or somebody else "
            "has made it."
        ) from None
    claims = receipt.claims
    try:
        given, issuer = int(claims["iat"]), str(claims["iss"])
        deposited = (claims["file_id"], claims["size"], claims["deposited_at"], claims["account"])
        digests = [(item["alg"], item["value"]) for item in claims["digests"]]
    except (ValueError, KeyError, TypeError):
        raise NotProven("The receipt (receipt.jws) is damaged.") from None
    need(
        key.since - CLOCK_SKEW_S <= given <= key.until + CLOCK_SKEW_S,
        "The receipt was signed at a time when its key did not count.",
    )
    recorded = (record["file_id"], record["size"], record["uploaded_at"])
    need(
        deposited == (*recorded, record["uploaded_by"]["subject"])
        and digests == [(item["alg"], item["value"]) for item in record["digests"]],
        "The receipt is for another deposit than this one.",
    )
    return (
        f"The archive {issuer} gave a receipt for this document on {moment(given)}, signed with "
        f"a key that the log names since {key.event.event['at']} (entry {key.event.number})."
    )


def read_receipt_key(event: Event) -> ReceiptKey:
    body = event.event
    need((body.get("kind"), body.get("outcome")) == ("key.created", "succeeded"), NOT_THIS_KEY)
    try:
        text, until = body["details"]["public_key"], int(body["details"]["valid_until"])
        since = datetime.strptime(body["at"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
        kid, public = thumbprint(text), unbase64url(text.encode())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotProven(NOT_THIS_KEY) from None
    need(body.get("target") == {"id": kid, "type": "receipt_key"}, NOT_THIS_KEY)
    return ReceiptKey(kid, public, since, until, event)


def receipt_key_event(bundle: Bundle, names: list[str], trust: Trust, state: State) -> Event:
    """The entry of the log that names the receipt's key, proven in the same state."""
    found = [name for name in names if name.startswith(f"{RECEIPT_KEY}/")]
    need(
        sorted(name.rpartition(".")[2] for name in found) == ["json", "tlog-proof"],
        "The entry of the log that names the receipt's key is missing.",
    )
    (name,) = (name for name in found if name.endswith(".json"))
    event = read_event(bundle.read(name), name.rpartition("/")[2])
    proof = f"{RECEIPT_KEY}/{event.number:012d}.tlog-proof"
    need(proof in names, f"The proof of entry {event.number} is missing.")
    proven = check_proof(
        decoded(bundle.read(proof), proof), event.number, spell(event.event), trust
    )
    need(proven.note == state.note, "The receipt's key is proven against a different state.")
    return event


def thumbprint(public: str) -> str:
    """RFC 7638, of an Ed25519 key."""
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}'.encode()
    return base64.urlsafe_b64encode(hashlib.sha256(members).digest()).rstrip(b"=").decode()


# --- in plain words -----------------------------------------------------------------------


def describe(event: Event) -> str:
    body = event.event
    actor = event.facts.get("actor_name") or body["actor"]["person"] or body["actor"]["account"]
    withheld = sorted(set(body["personal"]) - set(event.facts))
    hidden = f" (not shown: {', '.join(withheld)})" if withheld else ""
    return f"{body['at']} {body['kind']} {body['outcome']}, by {actor or 'the archive'}{hidden}."


def shown(sentence: str) -> str:
    """What is read, and not obeyed: a name may hold line ends and orders to a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in sentence
    )


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(  # noqa: UP017  for Python 3.8
        "%Y-%m-%d %H:%M:%S UTC"
    )


def decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise NotProven(f"{name} is damaged.") from None


# --- the command --------------------------------------------------------------------------


def read_trust(bundle: Bundle, options: argparse.Namespace) -> Trust:
    """Keys from the command line; else those in the bundle."""
    need(
        bool(options.key) or not options.witness,
        "A key of a witness was given, and the log's own key is missing (--key).",
    )
    trust = named_trust(bundle)
    if options.key:
        log, witnesses = keys_of(options.key), keys_of(options.witness)
        need(len({key.name for key in log}) == 1, "Give the keys of exactly one log (--key).")
        trust = Trust(log[0].name, log, witnesses, len({key.name for key in witnesses}))
    return trust if options.quorum is None else trust._replace(quorum=options.quorum)


def named_trust(bundle: Bundle) -> Trust:
    try:
        keys = json.loads(bundle.read("keys.json"))
        log, witnesses = list(keys["log_keys"]), list(keys["witness_keys"])
        return Trust(
            keys["origin"],
            list(map(read_key, log)),
            list(map(read_key, witnesses)),
            int(keys["quorum"]),
        )
    except (OSError, KeyError, ValueError, TypeError, AttributeError):
        raise NotProven("keys.json is missing or damaged.") from None


def main(arguments: list[str] | None = None, say: Callable[[str], Any] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--key", action="append", default=[], help="public key of the log")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness")
    parser.add_argument("--quorum", type=int, help="how many witnesses must have confirmed")
    options = parser.parse_args(arguments)
    if say is None and hasattr(sys.stdout, "reconfigure"):
        # A terminal that has no letter for a name shows its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    say = say or (lambda sentence: sys.stdout.write(f"{sentence}\n"))
    try:
        bundle = Bundle(options.bundle)
        trust = read_trust(bundle, options)
        for sentence in verify(bundle, trust):
            say(shown(sentence))
    except NotProven as problem:
        say(shown(f"NOT PROVEN. {problem}"))
        return 1
    except Exception as problem:  # noqa: BLE001  a damaged file may make Python say anything
        cause = f"{type(problem).__name__}: {problem}"
        say(shown(f"NOT PROVEN. The bundle is damaged and cannot be read to its end ({cause})."))
        return 1
    if trust.quorum < 1:
        say(
            "No witness was asked for (--witness): whoever holds the log's key could have written "
            "another history and signed it."
        )
    if options.key:
        say("PROVEN, with the keys that you gave.")
        return 0
    say("The bundle agrees with itself. It proves its document if these keys, which lie in the")
    say("bundle, are those that the archive and its witnesses publish; compare them:")
    for key in trust.log_keys + trust.witness_keys:
        say(f"  {key.name} {hashlib.sha256(key.public).hexdigest()}")
    say("PROVEN, if those are the right keys.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
