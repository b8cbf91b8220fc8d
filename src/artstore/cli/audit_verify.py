"""Checks an export of the audit log offline, and says in plain sentences what is true.

Nothing of this reaches for a network, a profile or a running ArtStore: an auditor uses it on a
machine of their own.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
import typer
from cryptography.x509 import Certificate

from artstore.cli.output import print_json, print_line
from artstore.cli.progress import Meter, meter
from artstore.core.audit.defect import DefectFound
from artstore.core.audit.lines import lines_of
from artstore.core.audit.stamps import InvalidStamp, read_authorities
from artstore.core.audit.verification import VerifiedExport, verify_export
from artstore.core.tlog.errors import InvalidKey, InvalidNote
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.encoding import encode_base64
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.note import NOTE_BYTES_MAX, Note
from artstore.core.tlog.notes.policy import TrustPolicy

PROGRESS_EVERY_LINES: Final = 5000


def verify_file(
    export: Path,
    policy: TrustPolicy,
    known: Sequence[Path],
    *,
    authorities: Sequence[Certificate],
    part: bool,
    as_json: bool,
) -> bool:
    """Whether all is true; what was found is printed.

    Raises:
        typer.BadParameter: One of `known` is no state of this log.
    """
    states = [_known_state(path, policy) for path in known]
    try:
        with export.open("rb") as file, meter("checking") as bars:
            bars.expect(1, export.stat().st_size)
            lines = _counted(file, bars)
            found = verify_export(
                lines, policy, known=states, authorities=authorities, allow_part=part
            )
    except DefectFound as defect:
        _tell_defect(defect, as_json=as_json)
        return False
    _tell_true(found, policy, as_json=as_json)
    return True


def state_fields(note: bytes) -> dict[str, Any]:
    """What a note says, without checking who has signed it."""
    parsed = Note.parse(note)
    tree = Checkpoint.parse(parsed.text)
    return {
        "origin": tree.origin,
        "size": tree.size,
        "root": encode_base64(tree.root),
        "signed_by": list(dict.fromkeys(line.name for line in parsed.signatures)),
        "note": note.decode(),
    }


def policy_of(keys: Sequence[str], witnesses: Sequence[str], quorum: int | None) -> TrustPolicy:
    """Each a key or a file of keys. Raises `typer.BadParameter`."""
    log_keys, witness_keys = _keys(keys, "--key"), _keys(witnesses, "--witness")
    names = {key.name for key in log_keys}
    if len(names) != 1:
        raise typer.BadParameter("give the keys of exactly one log", param_hint="--key")
    wanted = len({key.name for key in witness_keys}) if quorum is None else quorum
    try:
        return TrustPolicy(names.pop(), log_keys, witness_keys, wanted)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--witness") from None


def authorities_of(path: Path | None) -> tuple[Certificate, ...]:
    """Raises `typer.BadParameter`."""
    try:
        return read_authorities(path) if path is not None else ()
    except InvalidStamp as error:
        raise typer.BadParameter(str(error), param_hint="--tsa") from None


def _keys(given: Sequence[str], option: str) -> tuple[VerifierKey, ...]:
    found: list[VerifierKey] = []
    for text in given:
        lines = [text]
        if "+" not in text or Path(text).is_file():
            try:
                lines = Path(text).read_text("utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                raise typer.BadParameter(
                    f"{text} is neither a key nor a file with keys", param_hint=option
                ) from None
        meant = (line.strip() for line in lines)
        found += [_key(line, option) for line in meant if line and not line.startswith("#")]
    return tuple(dict.fromkeys(found))


def _key(text: str, option: str) -> VerifierKey:
    try:
        # As `artstore audit keys` prints it: what it is of, then the key.
        return VerifierKey.parse(text.rsplit(maxsplit=1)[-1])
    except InvalidKey as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _known_state(path: Path, policy: TrustPolicy) -> Checkpoint:
    """The checkpoint in a file that was kept: alone, in a proof, or at the head of an export."""
    with path.open("rb") as file:
        data = file.readline(2 * NOTE_BYTES_MAX)
        if not data.startswith(b"{"):
            data += file.read(2 * NOTE_BYTES_MAX)
    try:
        note = orjson.loads(data)["checkpoint"].encode() if data.startswith(b"{") else data
        if note.startswith(b"c2sp.org/tlog-proof@"):
            note = note.partition(b"\n\n")[2]
        return policy.signed_checkpoint(note).checkpoint
    except (InvalidNote, ValueError, KeyError, AttributeError) as error:
        raise typer.BadParameter(
            f"{path} holds no state that this log has signed: {error}", param_hint="--known"
        ) from None


def _counted(file: BinaryIO, bars: Meter) -> Iterator[bytes]:
    """The lines; the bar is moved now and then, for each time costs more than a line."""
    done_bytes = 0
    for number, line in enumerate(lines_of(file)):
        done_bytes += len(line)
        if number % PROGRESS_EVERY_LINES == 0:
            bars.advance(done_bytes)
            done_bytes = 0
        yield line


def _tell_defect(defect: DefectFound, *, as_json: bool) -> None:
    if not as_json:
        print_line(f"NOT PROVEN. {defect.sentence}")
        return
    print_json(
        {
            "proven": False,
            "defect": defect.kind,
            "first": defect.first,
            "last": defect.last,
            "sentence": defect.sentence,
        }
    )


def _tell_true(found: VerifiedExport, policy: TrustPolicy, *, as_json: bool) -> None:
    if as_json:
        print_json(_fields(found))
        return
    for sentence in _sentences(found, policy):
        print_line(sentence)


def _fields(found: VerifiedExport) -> dict[str, Any]:
    state = found.state
    return {
        "proven": True,
        "origin": state.checkpoint.origin,
        "first": found.first,
        "end": found.end,
        "size": state.checkpoint.size,
        "root": encode_base64(state.checkpoint.root),
        "signed_with": [key.key_id.hex() for key in state.log_keys],
        "witnesses": {name: _moment(at) for name, at in state.witnesses.items()},
        "stamped_size": found.stamped.size or None,
        "stamped_at": _time(found.stamped.at) if found.stamped.at else None,
        "stamps_not_checked": found.stamped.unchecked,
        "personal_shown": found.disclosed,
        "personal_withheld": found.withheld,
        "known_not_compared": [tree.size for tree in found.not_compared],
    }


def _sentences(found: VerifiedExport, policy: TrustPolicy) -> Iterator[str]:
    tree = found.state.checkpoint
    yield f"The log {tree.origin} had {tree.size} records and has signed that."
    for name, at in sorted(found.state.witnesses.items()):
        yield f"The witness {name} confirmed it on {_moment(at)}."
    if found.stamped.at is not None:
        yield (
            f"A time-stamping authority confirms that the first {found.stamped.size} records "
            f"existed on {_time(found.stamped.at)}."
        )
    if found.stamped.unchecked:
        yield f"{found.stamped.unchecked} time stamps were not checked (--tsa)."
    if not policy.quorum:
        yield (
            "No witness was asked for (--witness): whoever holds the log's key could have "
            "written another history and signed it."
        )
    if found.withheld or found.disclosed:
        yield (
            f"{found.disclosed} personal facts are shown and are those that were recorded; "
            f"{found.withheld} are not shown."
        )
    for state in found.not_compared:
        yield (
            f"The state of {state.size} records that you kept lies outside of this part of the "
            "log and was not compared."
        )
    yield _verdict(found)


def _verdict(found: VerifiedExport) -> str:
    if found.end > found.first:
        return (
            f"PROVEN. Records {found.first} to {found.end - 1} are all there, in their order, and "
            "exactly what was logged."
        )
    if found.state.checkpoint.size:
        return "PROVEN, for this state of the log only: the file holds none of its records."
    return "PROVEN. The log is empty."


def _moment(seconds: int) -> str:
    return _time(datetime.fromtimestamp(seconds, UTC))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
