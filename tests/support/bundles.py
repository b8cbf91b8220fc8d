"""A log with the history of one document in it, and its proof bundle."""

import atexit
import random
import shutil
import subprocess
import tempfile
import venv
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.support.transparency import (
    LOG_KEY,
    LOG_KEY_PQ,
    ORIGIN,
    START,
    WITNESS_KEY,
    AuditLog,
    cosigned,
    key,
)

from artstore.core.audit.bundle import BundledEvent, BundledReceipt, write_bundle
from artstore.core.audit.receipts import (
    KEY_TYPE,
    KEY_VALID_FOR,
    PublicReceiptKey,
    SigningKey,
    key_details,
)
from artstore.core.model.audit import (
    Actor,
    AuditEvent,
    AuditKind,
    Outcome,
    PersonalField,
    Target,
    commit_to,
)
from artstore.core.model.file import Deletion, Digest, FileRecord, Uploader
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.tlog.notes.keys import Algorithm
from artstore.core.tlog.notes.policy import TrustPolicy

DOCUMENT = b"%PDF-1.7 the contract of 22 November 2026\n" * 500
KEY_SINCE = START + timedelta(days=10)
WITNESS_KEY_PQ = key("witness.example/w1", Algorithm.ML_DSA_44_COSIGNATURE)
POLICY = TrustPolicy(
    ORIGIN,
    (LOG_KEY.verifier, LOG_KEY_PQ.verifier),
    (WITNESS_KEY.verifier, WITNESS_KEY_PQ.verifier),
    quorum=1,
)


@dataclass(frozen=True)
class Deposited:
    """A document, its record as it is now, and the log that holds its history."""

    attr: bytes
    log: AuditLog
    places: tuple[int, ...]
    """Indexes of its events."""
    key: SigningKey
    """Of its receipt."""
    key_place: int

    def bundle(
        self,
        document: bytes | None = DOCUMENT,
        hidden: bool = False,
        timestamp: bytes | None = None,
        receipt: str | None = None,
    ) -> bytes:
        """`receipt`: instead of the true one; an empty one leaves it out."""
        token = self.receipt() if receipt is None else receipt
        out = BytesIO()
        write_bundle(
            out,
            attr=self.attr,
            document=None if document is None else [document[:100], document[100:]],
            events=[self._proven(place, hidden) for place in self.places],
            note=self.log.notes[-1],
            policy=POLICY,
            timestamp=timestamp,
            receipt=BundledReceipt(token, self._proven(self.key_place)) if token else None,
        )
        return out.getvalue()

    def receipt(self, key: SigningKey | None = None, **changes: Any) -> str:
        """For this deposit, but for `changes` of its record."""
        at = changes.pop("at", KEY_SINCE + timedelta(hours=1))
        record = FileRecord.from_json(self.attr).model_copy(update=changes)
        return (key or self.key).sign(record, f"https://{ORIGIN}", at)

    def _proven(self, place: int, hidden: bool = False) -> BundledEvent:
        reader = self.log.log.reader()
        event = self.log.events[place]
        facts = {} if hidden else self.log.facts[event.event_id]
        return BundledEvent(place, event.to_entry(), facts, reader.inclusion_proof(place))


@cache
def deposited(*, deleted: bool = False) -> Deposited:
    log = AuditLog(700, 100, log_keys=(LOG_KEY, LOG_KEY_PQ))
    chance = random.Random(3)
    ids = FileIdSource()
    file_id = ids.new(START, chance.randbytes(10))
    record = _record(file_id)
    changed = record.model_copy(update={"revision": 2, "tags": ("court",)})
    history = [(AuditKind.FILE_UPLOADED, record), (AuditKind.FILE_DOWNLOADED, None)]
    history.append((AuditKind.FILE_CHANGED, changed))
    if deleted:
        deletion = Deletion(at=START + timedelta(days=9), by="usr-7", reason="retention ended")
        changed = changed.model_copy(update={"revision": 3, "deleted": deletion})
        history.append((AuditKind.FILE_DELETED, changed))
    places = []
    for number, (kind, state) in enumerate(history):
        personal, facts = commit_to({PersonalField.ACTOR_NAME: "Мария"}, chance.randbytes)
        event = AuditEvent(
            event_id=ids.new(START, chance.randbytes(10)),
            kind=kind,
            outcome=Outcome.SUCCEEDED,
            at=START + timedelta(hours=number),
            actor=Actor(person="usr-7"),
            file_id=file_id,
            collection="contracts",
            details={} if state is None else _details(state),
            personal=personal,
        )
        log.facts[event.event_id] = facts
        places.append(log.log.checkpoint.size)
        log.events.append(event)
        log.append([event])
    signer = SigningKey()
    key_place = log.log.checkpoint.size
    _register(log, signer, ids.new(START, chance.randbytes(10)))
    log.notes[-1] = cosigned(log.log.note, WITNESS_KEY, WITNESS_KEY_PQ)
    return Deposited(changed.to_json(), log, tuple(places), signer, key_place)


def _register(log: AuditLog, key: SigningKey, event_id: FileId) -> None:
    until = int((KEY_SINCE + KEY_VALID_FOR).timestamp())
    public = PublicReceiptKey(
        x=key.public_x, kid=key.kid, iat=0, exp=until, service="ingester/ingester-1"
    )
    event = AuditEvent(
        event_id=event_id,
        kind=AuditKind.KEY_CREATED,
        outcome=Outcome.SUCCEEDED,
        at=KEY_SINCE,
        target=Target(type=KEY_TYPE, id=key.kid),
        details=key_details(public),
    )
    log.facts[event.event_id] = {}
    log.events.append(event)
    log.append([event])


def _record(file_id: FileId) -> FileRecord:
    digest = Digest(alg="sha256", value=sha256(DOCUMENT).hexdigest(), computed_at=START)
    return FileRecord(
        file_id=file_id,
        collection="contracts",
        original_filename="../Договор № 7.pdf",
        size=len(DOCUMENT),
        content_type="application/pdf",
        digests=(digest,),
        uploaded_at=START,
        uploaded_by=Uploader(subject="usr-7", name="Мария", via="cli"),
        revision=1,
    )


def _details(record: FileRecord) -> dict[str, Any]:
    return {
        "record_sha256": sha256(record.to_json()).hexdigest(),
        "revision": record.revision,
        "sha256": record.sha256,
        "size": record.size,
    }


@dataclass(frozen=True)
class Verdict:
    proven: bool
    text: str


@cache
def bare_python() -> Path:
    """The interpreter of an environment that holds `cryptography` and nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="bare-python-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        source = origin.parent if found.submodule_search_locations else origin
        (packages / source.name).symlink_to(source)
    python = folder / "bin" / "python"
    alone = subprocess.run([python, "-c", "import artstore"], capture_output=True, check=False)
    assert b"No module named 'artstore'" in alone.stderr
    return python


def run_verifier(program: Path, *arguments: object) -> Verdict:
    """`verify.py` as a stranger runs it: on a Python that knows nothing of ArtStore."""
    command = [str(bare_python()), str(program), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={}, cwd="/"
    )
    assert not done.stderr, done.stderr
    assert done.returncode in (0, 1)
    return Verdict(done.returncode == 0, done.stdout)
