"""Checks an export of the audit log, offline, with nothing but public keys.

Reads line by line in constant memory and stops at the first thing that is wrong. What proves
what: the checkpoint is signed; the hashes of each 256 records lead to the checkpoint; each
record leads to its hash; each personal fact to its commitment. So a change of a record shows at
that record, and a change of the hashes shows before any record is believed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import chain, pairwise
from typing import NoReturn

from cryptography.x509 import Certificate

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.diagnosis import Window, cut_off, diagnose, headless, missing
from artstore.core.audit.lines import (
    Earlier,
    Final,
    Hashes,
    Header,
    Record,
    read_line,
)
from artstore.core.audit.stamps import InvalidStamp, Stamp
from artstore.core.tlog.errors import InvalidNote, InvalidProof, UntrustedNote
from artstore.core.tlog.merkle.frontier import Frontier
from artstore.core.tlog.merkle.hashing import tree_root
from artstore.core.tlog.merkle.proofs import inclusion_ranges, verify_inclusion
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.policy import SignedCheckpoint, TrustPolicy
from artstore.core.tlog.tiles import TILE_WIDTH

SEEN_ANOTHER = "You have seen another history of this log"


@dataclass(frozen=True)
class VerifiedExport:
    """What an export has been shown to be."""

    first: int
    end: int
    """Records [first, end) are in it, exactly as they were logged."""
    state: SignedCheckpoint
    """Of the whole log, with its size and who has confirmed it."""
    disclosed: int
    withheld: int
    """Personal facts that are shown and true, and that are not shown."""
    not_compared: tuple[Checkpoint, ...]
    """Known states that lie outside of what this export shows."""
    stamped: "Stamped"


@dataclass(frozen=True)
class Stamped:
    """What time-stamping authorities say."""

    size: int = 0
    """So many records existed at `at`: the largest state with a stamp."""
    at: datetime | None = None
    unchecked: int = 0
    """Stamps that nobody asked to be checked."""


def verify_export(
    lines: Iterable[bytes],
    policy: TrustPolicy,
    *,
    known: Sequence[Checkpoint] = (),
    authorities: Sequence[Certificate] = (),
    allow_part: bool = False,
) -> VerifiedExport:
    """Check an export from its first line to its last.

    Args:
        lines: With their newlines; see `lines_of`.
        policy: Which keys to believe. From anywhere but the export itself.
        known: States that whoever verifies has seen and believed before. They catch a history
            that was rewritten or cut even when all keys were stolen.
        authorities: Whose time stamps to believe. If any are given, all stamps are checked and
            there must be one.
        allow_part: Accept an export of a part of the log.

    Raises:
        DefectFound: The first thing that is wrong, with the records that it concerns.
    """
    verifier = ExportVerifier(policy, known=known, authorities=authorities, allow_part=allow_part)
    digest = sha256()
    for line, following in pairwise(chain(lines, (None,))):
        assert line is not None
        verifier.feed(line, following)
        if following is not None:
            digest.update(line)
    return verifier.finish(digest.hexdigest())


class ExportVerifier:
    """The checks of `verify_export`, to be fed line by line.

    A copy (`copy.copy`) may be fed on its own: nothing that two copies share is changed.
    """

    def __init__(
        self,
        policy: TrustPolicy,
        *,
        known: Sequence[Checkpoint] = (),
        authorities: Sequence[Certificate] = (),
        allow_part: bool = False,
    ) -> None:
        self._policy = policy
        self._authorities = tuple(authorities)
        self._stamped = Stamped()
        # Those that were not compared yet, the smallest first, and those that cannot be.
        # The empty log is the beginning of every log.
        kept = (state for state in known if state.size)
        self._known = tuple(sorted(kept, key=lambda state: state.size))
        self._not_compared: tuple[Checkpoint, ...] = ()
        self._allow_part = allow_part
        self._header: Header | None = None
        self._state: SignedCheckpoint | None = None
        self._next = 0
        self._window = Window(0, ())
        # Of all hashes before the window; unknown until the first ones were proven.
        self._frontier: Frontier | None = None
        # Up to where the records agree with states that were known, were signed by the log,
        # and were confirmed by witnesses.
        self._known_agree = self._signed_agree = self._confirmed = 0
        self._disclosed = self._withheld = 0
        self._digest: str | None = None

    def feed(self, line: bytes, following: bytes | None = None) -> None:
        """One line, and the one after it: it tells a changed record from an added one.

        Raises `DefectFound`."""
        if self._header is not None:
            self._check_end(self._header, line, following)
        parsed = read_line(line)
        match parsed:
            case Header() if self._header is None:
                self._take_header(parsed)
            case _ if self._header is None:
                raise headless(line)
            case Hashes() if self._needs_hashes:
                self._take_hashes(parsed)
            case Earlier():
                self._take_earlier(parsed)
            case Final():
                self._take_final(parsed)
            case _ if self._needs_hashes:
                self._unproven("The hashes that prove these records are missing")
            case _ if self._next == self._header.end:
                raise DefectFound(DefectKind.ADDED, self._next, "A record too many was added.")
            case Record() if parsed.flaw is None and parsed.leaf == self._window.leaf_at(
                self._next
            ):
                self._take_record(parsed)
            case _:
                after = read_line(following) if following is not None else None
                raise diagnose(self._window, self._next, parsed, after)

    def _check_end(self, header: Header, line: bytes, following: bytes | None) -> None:
        if self._digest is not None:
            raise DefectFound(
                DefectKind.ADDED, self._next, "Something stands behind the end of the export."
            )
        if following is None and not line.endswith(b"\n"):
            raise cut_off(self._next, header.first, header.end)

    def finish(self, digest: str) -> VerifiedExport:
        """Call it after the last line. Raises `DefectFound`.

        Args:
            digest: Hex of SHA-256 over all lines but the last.
        """
        if self._header is None or self._state is None:
            raise DefectFound(DefectKind.UNSIGNED, 0, "The export is empty.")
        first, end = self._header.first, self._header.end
        if self._digest is None and self._next < end:
            raise missing(self._next, end - 1, "the file ends before it")
        if self._digest is None:
            raise DefectFound(DefectKind.CHANGED, first, "The last line is missing.", end - 1)
        if self._digest != digest:
            sentence = "The file was changed, though not in a record: its digest is another."
            raise DefectFound(DefectKind.CHANGED, self._header.first, sentence, self._next - 1)
        if not self._policy.is_confirmed(self._state):
            raise self._unconfirmed(self._state)
        if self._authorities and self._stamped.at is None:
            sentence = "No state in this export has a time stamp of an authority that you named."
            raise DefectFound(DefectKind.UNCONFIRMED, self._header.first, sentence, self._next - 1)
        self._compare_rest(self._state.checkpoint)
        return VerifiedExport(
            first,
            end,
            self._state,
            self._disclosed,
            self._withheld,
            self._not_compared,
            self._stamped,
        )

    def _take_header(self, header: Header) -> None:
        try:
            state = self._policy.signed_checkpoint(header.note)
        except InvalidNote as error:
            sentence = f"The log has not signed this export, nothing in it is proven: {error}."
            last = max(header.first, header.end - 1)
            raise DefectFound(DefectKind.UNSIGNED, header.first, sentence, last) from None
        self._check_extent(header, state.checkpoint.size)
        self._header, self._state = header, state
        self._next = header.first
        self._compare_known()

    def _check_extent(self, header: Header, size: int) -> None:
        first, end = header.first, header.end
        if header.size != size or not first <= end <= size:
            sentence = "The head of the export does not fit its checkpoint."
            raise DefectFound(DefectKind.UNPROVEN, first, sentence, size)
        longest = max((state.size for state in self._known), default=0)
        if longest > size:
            raise missing(
                size,
                longest - 1,
                f"this is an older state of the log, and you have seen it with {longest} records",
            )
        if not self._allow_part and first > 0:
            raise missing(0, first - 1, "this file begins behind it")
        if not self._allow_part and end < size:
            raise missing(end, size - 1, "this file ends before it")

    def _take_hashes(self, hashes: Hashes) -> None:
        assert self._state is not None
        tree = self._state.checkpoint
        bundle = self._next // TILE_WIDTH
        if hashes.bundle > bundle:
            raise missing(self._next, hashes.bundle * TILE_WIDTH - 1, "the file goes on behind it")
        try:
            _verify_hashes(hashes, bundle, tree)
        except InvalidProof as error:
            self._unproven(f"The hashes that prove these records are not those of the log: {error}")
        if self._frontier is None:
            self._frontier = _frontier_before(bundle, tree.size, hashes.proof)
        else:
            # A copy: somebody may have kept this verifier as it was here.
            self._frontier = self._frontier.copy()
            self._frontier.push(tree_root(self._window.leaves), TILE_WIDTH)
        self._window = Window(bundle * TILE_WIDTH, hashes.leaves)
        self._compare_known()

    def _take_record(self, record: Record) -> None:
        if record.claimed != self._next:
            raise DefectFound(
                DefectKind.CHANGED,
                self._next,
                f"Record {self._next} says that it is record {record.claimed}.",
            )
        self._next += 1
        self._disclosed += record.disclosed
        self._withheld += record.withheld
        self._compare_known()

    def _take_earlier(self, line: Earlier) -> None:
        try:
            state = self._policy.signed_checkpoint(line.note)
        except UntrustedNote:
            self._unproven(
                f"The earlier checkpoint before record {self._next} is signed with no key that "
                "you named: if the log has changed its keys, name its earlier keys too"
            )
        except InvalidNote as error:
            self._unproven(f"An earlier checkpoint, before record {self._next}, is false: {error}")
        checkpoint = state.checkpoint
        if checkpoint.size != self._next or self._frontier is None:
            self._unproven(f"A checkpoint of {checkpoint.size} records stands in a wrong place")
        since = max(self._signed_agree, self._known_agree)
        self._compare(checkpoint, since, "The log itself signed another history")
        self._signed_agree = checkpoint.size
        if self._policy.is_confirmed(state):
            self._confirmed = checkpoint.size
        if line.timestamp is not None:
            self._take_stamp(Stamp(line.note, line.timestamp), checkpoint.size)

    def _take_stamp(self, stamp: Stamp, size: int) -> None:
        if not self._authorities:
            self._stamped = replace(self._stamped, unchecked=self._stamped.unchecked + 1)
            return
        try:
            self._stamped = replace(self._stamped, size=size, at=stamp.verified(self._authorities))
        except InvalidStamp as error:
            sentence = (
                f"The time stamp over the first {size} records is false, or of an authority that "
                f"you did not name (--tsa): {error}."
            )
            raise DefectFound(DefectKind.UNPROVEN, 0, sentence, size - 1) from None

    def _take_final(self, line: Final) -> None:
        assert self._header is not None
        if self._next != self._header.end:
            raise missing(self._next, self._header.end - 1, "the export ends before it")
        if line.note != self._header.note:
            self._unproven("The checkpoint at the end is not the one at the beginning")
        self._digest = line.digest

    def _unproven(self, sentence: str) -> NoReturn:
        assert self._header is not None
        start = self._next - self._next % TILE_WIDTH
        last = min(start + TILE_WIDTH, self._header.end) - 1
        raise DefectFound(DefectKind.UNPROVEN, self._next, f"{sentence}.", max(self._next, last))

    def _compare_known(self) -> None:
        """With all states up to where the records are."""
        if self._frontier is None:
            return
        while self._known and self._known[0].size <= self._next:
            state, self._known = self._known[0], self._known[1:]
            if state.size < self._window.start:
                self._not_compared += (state,)
            else:
                self._compare_with_known(state)

    def _compare_rest(self, tree: Checkpoint) -> None:
        """With those behind the last record, as far as hashes reach or it is the whole log."""
        for state in self._known:
            if state.size == tree.size:
                if state.root != tree.root:
                    raise self._forked(state, self._known_agree, SEEN_ANOTHER)
            elif self._frontier is not None and state.size - 1 in self._window:
                self._compare_with_known(state)
            else:
                self._not_compared += (state,)

    def _compare_with_known(self, state: Checkpoint) -> None:
        # States inside the export do not narrow it down: whoever forged the records may have
        # forged those too.
        self._compare(state, self._known_agree, SEEN_ANOTHER)
        self._known_agree = state.size

    def _compare(self, checkpoint: Checkpoint, since: int, sentence: str) -> None:
        """Raises `DefectFound` unless the records up to here are those of `checkpoint`. Up to
        `since` they are known to be true."""
        assert self._frontier is not None
        frontier = self._frontier.copy()
        for leaf in self._window.leaves[: checkpoint.size - self._window.start]:
            frontier.push(leaf)
        if frontier.root() != checkpoint.root:
            raise self._forked(checkpoint, since, sentence)

    def _forked(self, state: Checkpoint, since: int, sentence: str) -> DefectFound:
        return DefectFound(
            DefectKind.FORKED,
            since,
            f"{sentence}: a state of {state.size} records does not agree with this export. Among "
            f"records {since} to {state.size - 1} at least one is not the same.",
            state.size - 1,
        )

    def _unconfirmed(self, state: SignedCheckpoint) -> DefectFound:
        reached = f"{len(state.witnesses)} of {self._policy.quorum} witnesses have confirmed"
        what = "all that it shows may be made up by whoever holds the log's key"
        if self._confirmed:
            what = (
                f"up to record {self._confirmed - 1} it was confirmed, and record "
                f"{self._confirmed} and all after it may be made up"
            )
        return DefectFound(
            DefectKind.UNCONFIRMED,
            self._confirmed,
            f"{reached} this state of the log: {what}.",
            max(self._confirmed, state.checkpoint.size - 1),
        )

    @property
    def _needs_hashes(self) -> bool:
        """Whether the line with the hashes of the next record is due."""
        assert self._header is not None
        return self._next < self._header.end and self._next not in self._window


def _verify_hashes(hashes: Hashes, bundle: int, tree: Checkpoint) -> None:
    """Raises `InvalidProof` unless they are those of this bundle of the tree."""
    width = min(TILE_WIDTH, tree.size - bundle * TILE_WIDTH)
    if hashes.bundle != bundle or len(hashes.leaves) != width:
        raise InvalidProof("they belong elsewhere")
    bundles = -(-tree.size // TILE_WIDTH)
    verify_inclusion(tree_root(hashes.leaves), bundle, bundles, hashes.proof, tree.root)


def _frontier_before(bundle: int, size: int, proof: Sequence[bytes]) -> Frontier:
    """All before a bundle: its proof, which has been checked, holds the subtrees to its left."""
    ranges = inclusion_ranges(bundle, -(-size // TILE_WIDTH))
    left = [root for (start, _), root in zip(ranges, proof, strict=True) if start < bundle]
    return Frontier(bundle * TILE_WIDTH, left[::-1])
