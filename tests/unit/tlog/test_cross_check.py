"""Other people's implementations of the same formats agree with ours, in both directions."""

import gzip
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pymerkle
import pytest
from cryptography.exceptions import InvalidSignature
from pymerkle.backends.inmemory import InmemoryTree
from tests.support.transparency import (
    LOG_KEY,
    LOG_KEY_PQ,
    ORIGIN,
    T0,
    WITNESS_KEY,
    cosigned,
    entry,
    key,
    make_log,
)

from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.merkle.hashing import leaf_hash, tree_root
from artstore.core.tlog.merkle.proofs import (
    consistency_ranges,
    inclusion_ranges,
    verify_consistency,
    verify_inclusion,
)
from artstore.core.tlog.notes.keys import Algorithm

SIZES = (1, 2, 3, 7, 8, 255, 256, 257, 1000)


def _pymerkle_tree(size: int) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append_entry(entry(number))
    return tree


TREE = _pymerkle_tree(SIZES[-1])
LEAVES = [leaf_hash(entry(number)) for number in range(SIZES[-1])]


def roots_of(ranges: list[tuple[int, int]]) -> list[bytes]:
    return [tree_root(LEAVES[start:end]) for start, end in ranges]


def unpack(folder: Path) -> None:
    """What a web server does with full entry bundles on the way."""
    for packed in list(folder.rglob("*.gz")):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()


class TestPymerkle:
    """`pymerkle` of PyPI: RFC 9162 trees, by another author."""

    @pytest.mark.parametrize("size", SIZES)
    def test_the_roots_agree(self, size: int) -> None:
        assert tree_root(LEAVES[:size]) == TREE.get_root(size)

    @pytest.mark.parametrize("size", SIZES)
    def test_the_inclusion_proofs_are_the_same(self, size: int) -> None:
        for index in random.Random(size).sample(range(size), min(size, 25)):
            ours = roots_of(inclusion_ranges(index, size))
            theirs = TREE.prove_inclusion(index + 1, size)

            # Theirs begins with the leaf itself.
            assert theirs.path == [LEAVES[index], *ours]
            pymerkle.verify_inclusion(LEAVES[index], TREE.get_root(size), theirs)
            verify_inclusion(LEAVES[index], index, size, theirs.path[1:], TREE.get_root(size))

    @pytest.mark.parametrize("size", SIZES)
    def test_both_believe_the_same_earlier_states(self, size: int) -> None:
        for old in random.Random(size).sample(range(1, size + 1), min(size, 25)):
            states = TREE.get_root(old), TREE.get_root(size)
            ours = roots_of(consistency_ranges(old, size))

            pymerkle.verify_consistency(*states, TREE.prove_consistency(old, size))
            verify_consistency(old, states[0], size, states[1], ours)


class TestTlogScales:
    """`tlog-scales` of PyPI: the C2SP formats, by a third author."""

    @pytest.fixture
    def scales(self) -> Any:
        pytest.importorskip("tlog_scales", reason="tlog-scales is not installed")
        from tlog_scales import backend, reader, signing, tlog

        return SimpleNamespace(backend=backend, reader=reader, signing=signing, tlog=tlog)

    @pytest.mark.parametrize("size", [1, 255, 256, 257, 1500])
    def test_it_reads_our_files_and_agrees_on_roots_and_proofs(
        self, scales: Any, tmp_path: Path, size: int
    ) -> None:
        log = make_log(FolderStore(tmp_path), [LOG_KEY, LOG_KEY_PQ])
        for start in range(0, size, 500):
            log.append([entry(number) for number in range(start, min(start + 500, size))], T0)
        unpack(tmp_path)

        theirs = scales.reader.TilesReader(scales.backend.LocalBackend(tmp_path))
        checkpoint = theirs.get_checkpoint()
        assert (checkpoint.origin, checkpoint.size) == (ORIGIN, size)
        assert theirs.calculate_root_hash() == log.checkpoint.root == checkpoint.root_hash
        for ours in LOG_KEY, LOG_KEY_PQ:
            checkpoint.verify(scales.signing.Vkey.from_string(str(ours.verifier)))
        for index in random.Random(size).sample(range(size), min(size, 20)):
            assert theirs.get_entry(index) == entry(index)
            proof = theirs.get_inclusion_proof(index, size)
            assert proof.node_hashes == log.reader().inclusion_proof(index)
            proof.check(leaf_hash(entry(index)), log.checkpoint.root)
        for old in random.Random(size).sample(range(1, size + 1), min(size, 20)):
            proof = theirs.get_consistency_proof(old, size)
            assert proof.node_hashes == log.reader().consistency_proof(old)
            proof.check(log.reader().root_at(old), log.checkpoint.root)

    def test_it_believes_our_cosignatures_and_no_false_one(self, scales: Any) -> None:
        log = make_log()
        log.append([entry(number) for number in range(5)], T0)
        post_quantum = key("witness.example/w1", Algorithm.ML_DSA_44_COSIGNATURE)
        text = cosigned(log.note, WITNESS_KEY, post_quantum).to_bytes().decode()

        for witness in WITNESS_KEY, post_quantum:
            trusted = scales.signing.Vkey.from_string(str(witness.verifier))
            scales.tlog.Checkpoint.from_text(text).verify(trusted)
            forged = scales.tlog.Checkpoint.from_text(text.replace("\n5\n", "\n6\n"))
            with pytest.raises(InvalidSignature):
                forged.verify(trusted)


class TestAicsTlog:
    """`aics-tlog` of PyPI: a verifier of the C2SP formats, by another author."""

    @pytest.fixture
    def aics(self) -> Any:
        return pytest.importorskip("aics_tlog", reason="needs Python 3.12")

    def test_it_reads_our_files_and_believes_our_checkpoint(
        self, aics: Any, tmp_path: Path
    ) -> None:
        log = make_log(FolderStore(tmp_path))
        for start in range(0, 1500, 500):
            log.append([entry(number) for number in range(start, start + 500)], T0)
        unpack(tmp_path)
        note = aics.parse_note(cosigned(log.note).to_bytes())

        result = aics.verify_checkpoint(
            note,
            aics.parse_vkey(str(LOG_KEY.verifier)),
            [aics.parse_vkey(str(WITNESS_KEY.verifier))],
            quorum=1,
        )
        assert result.ok
        tree = aics.parse_checkpoint(note.text)
        assert (tree.origin, tree.size) == (ORIGIN, 1500)
        reader = aics.FileSystemTileReader(str(tmp_path))
        assert aics.tree_root_from_tiles(reader, 1500) == log.checkpoint.root
        aics.audit_tiles(reader, 1500, log.checkpoint.root)
        for index in (0, 255, 256, 1023, 1499):
            assert aics.read_entry(reader, index, 1500) == entry(index)
            theirs = aics.inclusion_proof_from_tiles(reader, index, 1500)
            assert list(theirs) == log.reader().inclusion_proof(index)
        for old in (1, 256, 500, 1024, 1499):
            theirs = aics.consistency_proof_from_tiles(reader, old, 1500)
            assert list(theirs) == log.reader().consistency_proof(old)

    def test_we_believe_what_it_signs(self, aics: Any) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        from artstore.core.tlog.notes.note import Note

        log = make_log()
        log.append([entry(number) for number in range(5)], T0)
        private = Ed25519PrivateKey.from_private_bytes(LOG_KEY.seed)
        checkpoint = aics.Checkpoint(ORIGIN, 5, log.checkpoint.root)
        theirs = aics.sign_checkpoint(checkpoint, private, ORIGIN)

        assert Note.parse(theirs.to_bytes()) == log.note
