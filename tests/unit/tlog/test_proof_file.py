import pytest
from tests.support.transparency import POLICY, T0, WITNESSED, cosigned, entry, make_log

from artstore.core.tlog.errors import InvalidNote, InvalidProof, UntrustedNote
from artstore.core.tlog.proof_file import ProofFile

LOG = make_log()
LOG.append([entry(i) for i in range(700)], T0)
PROOF = ProofFile(300, tuple(LOG.reader().inclusion_proof(300)), cosigned(LOG.note))


def test_a_proof_file_comes_back_as_it_was_and_verifies() -> None:
    again = ProofFile.parse(PROOF.to_bytes())

    assert again == PROOF
    assert again.verify(entry(300), WITNESSED).checkpoint.size == 700


def test_the_extra_line_of_the_format_is_passed_over() -> None:
    extra = PROOF.to_bytes().replace(b"@v1\n", b"@v1\nextra YWdl\n")

    assert ProofFile.parse(extra) == PROOF


def test_a_proof_is_of_one_entry_at_one_place() -> None:
    with pytest.raises(InvalidProof):
        PROOF.verify(entry(301), POLICY)
    with pytest.raises(InvalidProof):
        ProofFile(301, PROOF.proof, PROOF.note).verify(entry(300), POLICY)
    with pytest.raises(InvalidProof, match="no entry 700"):
        ProofFile(700, PROOF.proof, PROOF.note).verify(entry(300), POLICY)


def test_a_proof_that_no_witness_confirmed_is_not_enough_where_one_is_asked_for() -> None:
    with pytest.raises(UntrustedNote):
        ProofFile(300, PROOF.proof, LOG.note).verify(entry(300), WITNESSED)


@pytest.mark.parametrize(
    "change",
    [
        (b"c2sp.org/tlog-proof@v1", b"c2sp.org/tlog-proof@v2"),
        (b"index 300", b"index 0300"),
        (b"index 300\n", b""),
        (b"index 300\n", b"index 300\nAAAA\n"),
        (b"index 300\n", b"index 300\n" + b"A" * 43 + b"=\n"),
        (b"\n\n", b"\n"),
        (b"index", b"ind\xffex"),
    ],
)
def test_anything_else_is_not_a_proof_file(change: tuple[bytes, bytes]) -> None:
    data = PROOF.to_bytes().replace(*change, 1)

    with pytest.raises((InvalidNote, InvalidProof)):
        ProofFile.parse(data).verify(entry(300), POLICY)


def test_a_proof_file_is_of_bounded_length() -> None:
    with pytest.raises(InvalidNote, match="too long"):
        ProofFile.parse(ProofFile(1, PROOF.proof[:1] * 64, PROOF.note).to_bytes())
