"""The tree: published vectors of RFC 6962 implementations, and laws that hold for every tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.tlog.errors import InvalidProof
from artstore.core.tlog.merkle.frontier import Frontier
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT, leaf_hash, node_hash, tree_root
from artstore.core.tlog.merkle.proofs import (
    consistency_ranges,
    inclusion_ranges,
    perfect_parts,
    verify_consistency,
    verify_inclusion,
)

ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]

# From the test data of certificate-transparency, which every CT log is checked against.
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def roots_of(leaves: list[bytes], ranges: list[tuple[int, int]]) -> list[bytes]:
    return [tree_root(leaves[start:end]) for start, end in ranges]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert tree_root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(index: int, size: int) -> None:
    proof = roots_of(LEAVES, inclusion_ranges(index, size))

    assert [item.hex() for item in proof] == INCLUSION[index, size]
    verify_inclusion(LEAVES[index], index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "size"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(old: int, size: int) -> None:
    proof = roots_of(LEAVES, consistency_ranges(old, size))

    assert [item.hex() for item in proof] == CONSISTENCY[old, size]
    roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    verify_consistency(old, roots[0], size, roots[1], proof)


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


MANY = leaves_of(600)
sizes = st.integers(min_value=1, max_value=600)


@given(st.data(), sizes)
def test_an_inclusion_proof_shows_its_leaf_and_no_other(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    proof = roots_of(MANY, inclusion_ranges(index, size))
    root = tree_root(MANY[:size])

    verify_inclusion(MANY[index], index, size, proof, root)
    if other != index:
        with pytest.raises(InvalidProof):
            verify_inclusion(MANY[other], index, size, proof, root)
        with pytest.raises(InvalidProof):
            verify_inclusion(MANY[index], other, size, proof, root)


@given(st.data(), sizes)
def test_a_consistency_proof_shows_the_beginning_and_nothing_else(
    data: st.DataObject, size: int
) -> None:
    old = data.draw(st.integers(0, size))
    proof = roots_of(MANY, consistency_ranges(old, size))
    old_root, root = tree_root(MANY[:old]), tree_root(MANY[:size])

    verify_consistency(old, old_root, size, root, proof)
    changed = data.draw(st.integers(0, size - 1))
    fork = [leaf if i != changed else leaf_hash(b"other") for i, leaf in enumerate(MANY[:size])]
    if changed < old:
        with pytest.raises(InvalidProof):
            verify_consistency(old, tree_root(fork[:old]), size, root, proof)
    if old > 0:
        with pytest.raises(InvalidProof):
            verify_consistency(old, old_root, size, tree_root(fork), proof)


@given(st.data(), sizes)
def test_any_change_of_a_proof_breaks_it(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    root, old_root = tree_root(MANY[:size]), tree_root(MANY[:old])
    inclusion = roots_of(MANY, inclusion_ranges(index, size))
    consistency = roots_of(MANY, consistency_ranges(old, size))
    change = data.draw(st.sampled_from(["drop", "add", "flip", "swap"]))

    for proof, check in (
        (inclusion, lambda p: verify_inclusion(MANY[index], index, size, p, root)),
        (consistency, lambda p: verify_consistency(old, old_root, size, root, p)),
    ):
        broken = _broken(proof, change, data)
        if broken != proof:
            with pytest.raises(InvalidProof):
                check(broken)


def _broken(proof: list[bytes], change: str, data: st.DataObject) -> list[bytes]:
    if change == "add":
        at = data.draw(st.integers(0, len(proof)))
        return [*proof[:at], MANY[0], *proof[at:]]
    if not proof:
        return proof
    at = data.draw(st.integers(0, len(proof) - 1))
    match change:
        case "drop":
            return [*proof[:at], *proof[at + 1 :]]
        case "flip":
            bit = data.draw(st.integers(0, 255))
            flipped = int.from_bytes(proof[at]) ^ 1 << bit
            return [*proof[:at], flipped.to_bytes(32), *proof[at + 1 :]]
        case _:
            return [*proof[:at], *proof[at : at + 2][::-1], *proof[at + 2 :]]


@given(st.lists(st.sampled_from([1, 2, 4, 256]), max_size=30))
def test_a_frontier_has_the_root_of_the_whole_tree(widths: list[int]) -> None:
    frontier = Frontier()
    leaves: list[bytes] = []
    for wanted in widths:
        width = wanted if len(leaves) % wanted == 0 else 1
        new = [leaf_hash(b"%d" % (len(leaves) + i)) for i in range(width)]
        frontier.push(tree_root(new), width)
        leaves += new

    assert frontier.size == len(leaves)
    assert frontier.root() == tree_root(leaves)


def test_a_subtree_only_goes_where_it_is_perfect() -> None:
    frontier = Frontier()
    frontier.push(LEAVES[0])

    with pytest.raises(ValueError, match="multiple"):
        frontier.push(node_hash(LEAVES[1], LEAVES[2]), 2)


def test_perfect_parts_cover_a_range_without_gaps() -> None:
    parts = list(perfect_parts(256, 256 + 100))

    assert parts == [(256, 320), (320, 352), (352, 356)]


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_ranges(index, size)
    with pytest.raises(InvalidProof):
        verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


def test_a_log_never_shrinks_and_the_empty_log_has_one_root() -> None:
    with pytest.raises(InvalidProof, match="shrank"):
        verify_consistency(5, tree_root(LEAVES[:5]), 4, tree_root(LEAVES[:4]), [])
    with pytest.raises(InvalidProof, match="empty log"):
        verify_consistency(0, LEAVES[0], 4, tree_root(LEAVES[:4]), [])
    with pytest.raises(InvalidProof, match="must be empty"):
        verify_consistency(0, EMPTY_ROOT, 4, tree_root(LEAVES[:4]), [LEAVES[0]])
    with pytest.raises(InvalidProof, match="two different"):
        verify_consistency(4, LEAVES[0], 4, tree_root(LEAVES[:4]), [])
