"""Keys, notes and checkpoints, against the published examples and against their own rules."""

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st
from tests.support.transparency import (
    LOG_KEY,
    LOG_KEY_PQ,
    ORIGIN,
    OTHER_WITNESS_KEY,
    POLICY,
    T0,
    WITNESS_KEY,
    WITNESSED,
    cosigned,
    key,
    make_log,
)

from artstore.core.tlog.errors import (
    BadSignature,
    InvalidKey,
    InvalidNote,
    UntrustedNote,
)
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.encoding import encode_base64
from artstore.core.tlog.notes.keys import Algorithm, SigningKey, VerifierKey
from artstore.core.tlog.notes.note import SIGNATURES_MAX, Note, SignatureLine, sign
from artstore.core.tlog.notes.policy import TrustPolicy

# The example of c2sp.org/signed-note.
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()  # noqa: E501

# The example of golang.org/x/mod/sumdb/note, with its secret key.
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501

ALL_KEYS = [LOG_KEY, LOG_KEY_PQ, WITNESS_KEY]


def test_the_example_of_the_specification_verifies() -> None:
    note = Note.parse(SPEC_NOTE)

    (signed,) = note.verified([VerifierKey.parse(SPEC_KEY)])
    assert (signed.key.name, signed.at) == ("example.com/foo", None)
    assert note.to_bytes() == SPEC_NOTE


def test_we_sign_as_go_does() -> None:
    secret = SigningKey.parse(GO_SECRET)

    assert str(secret.verifier) == GO_KEY
    assert secret.secret_text() == GO_SECRET
    assert sign(GO_TEXT, [secret], 0).to_bytes().decode() == f"{GO_TEXT}\n{GO_SIGNATURE}"


@pytest.mark.parametrize("secret", ALL_KEYS, ids=lambda k: k.algorithm.name)
def test_keys_come_back_from_their_text(secret: SigningKey) -> None:
    assert SigningKey.parse(secret.secret_text() + "\n") == secret
    assert VerifierKey.parse(f"{secret.verifier}\n") == secret.verifier
    assert secret.seed.hex() not in repr(secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+BekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fo o+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2l",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2kAA==",
        "example.com/foo+zz+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        GO_SECRET,
    ],
)
def test_a_damaged_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        VerifierKey.parse(text)


def test_a_damaged_secret_is_refused_and_not_quoted() -> None:
    for damaged in (GO_SECRET[:-1] + "A", GO_SECRET.replace("c74f", "c74e"), GO_KEY, "hidden"):
        with pytest.raises(InvalidKey) as failure:
            SigningKey.parse(damaged)
        assert damaged not in str(failure.value)
    with pytest.raises(InvalidKey, match="32 bytes"):
        SigningKey.from_seed("name", Algorithm.ED25519, b"short")
    with pytest.raises(InvalidKey, match="neither spaces nor a plus"):
        SigningKey.from_seed("na+me", Algorithm.ED25519, bytes(32))


def checkpoint_note(*keys: SigningKey, size: int = 3) -> Note:
    return sign(Checkpoint(ORIGIN, size, bytes(range(32))).text(), keys or [LOG_KEY], T0)


def test_a_cosignature_says_when() -> None:
    note = checkpoint_note(LOG_KEY, WITNESS_KEY)

    signed = note.verified([WITNESS_KEY.verifier])
    assert [(item.key.name, item.at) for item in signed] == [("witness.example/w1", T0)]


def test_the_message_of_an_ml_dsa_cosignature_is_that_of_the_specification() -> None:
    """Put together by hand, from the struct in c2sp.org/tlog-cosignature."""
    note = checkpoint_note(LOG_KEY_PQ)
    (line,) = note.signatures
    name = ORIGIN.encode()
    message = (
        b"subtree/v1\n\0"
        + bytes([len(name)])
        + name
        + struct.pack(">Q", T0)
        + bytes([len(name)])
        + name
        + struct.pack(">QQ", 0, 3)
        + bytes(range(32))
    )

    assert struct.unpack(">Q", line.signature[:8]) == (T0,)
    public = MLDSA44PublicKey.from_public_bytes(LOG_KEY_PQ.verifier.public)
    public.verify(line.signature[8:], message)


def test_lines_of_unknown_keys_are_passed_over() -> None:
    note = checkpoint_note(LOG_KEY, WITNESS_KEY)
    same_name = key(ORIGIN, number=9)

    assert [item.key for item in note.verified([LOG_KEY.verifier, same_name.verifier])] == [
        LOG_KEY.verifier
    ]
    with pytest.raises(UntrustedNote):
        note.verified([same_name.verifier])


@pytest.mark.parametrize("secret", ALL_KEYS, ids=lambda k: k.algorithm.name)
def test_any_flipped_bit_of_a_signature_is_found(secret: SigningKey) -> None:
    note = checkpoint_note(secret)
    (line,) = note.signatures
    for bit in range(0, len(line.signature) * 8, 37):
        flipped = bytearray(line.signature)
        flipped[bit // 8] ^= 1 << bit % 8
        broken = Note(note.text, (SignatureLine(line.name, line.key_id, bytes(flipped)),))
        with pytest.raises(BadSignature):
            broken.verified([secret.verifier])


@pytest.mark.parametrize("secret", ALL_KEYS, ids=lambda k: k.algorithm.name)
def test_any_other_text_is_found(secret: SigningKey) -> None:
    note = checkpoint_note(secret)
    other = checkpoint_note(secret, size=4)

    with pytest.raises(BadSignature):
        Note(other.text, note.signatures).verified([secret.verifier])


def test_a_cosignature_without_a_time_counts_for_nothing() -> None:
    note = sign(checkpoint_note().text, [WITNESS_KEY], 0)

    with pytest.raises(BadSignature, match="no time"):
        note.verified([WITNESS_KEY.verifier])


LINE = str(checkpoint_note().signatures[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text only\n",
        f"text\n{LINE}",
        f"text\n\n{LINE[:-1]}",
        f"text\n\n{LINE}\n",
        f"te\rxt\n\n{LINE}",
        f"te\0xt\n\n{LINE}",
        f"text\n\n{LINE.replace('—', '-')}",
        f"text\n\n{LINE.replace(' ', '  ', 1)}",
        f"text\n\n{LINE.replace(ORIGIN, 'a+b')}",
        f"text\n\n— {ORIGIN} AAAA\n",
        f"text\n\n— {ORIGIN} AAAAAAAA=\n",
        f"text\n\n— {ORIGIN} AAAAAB==\n",
        f"text\n\n{LINE * (SIGNATURES_MAX + 1)}",
    ],
)
def test_what_is_not_a_note_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        Note.parse(text.encode())


def test_a_note_is_utf8_and_of_bounded_length() -> None:
    with pytest.raises(InvalidNote, match="UTF-8"):
        Note.parse(b"\xff\n\n" + LINE.encode())
    with pytest.raises(InvalidNote, match="at most"):
        Note.parse(b"x" * (1 << 18))


def test_the_text_of_a_note_may_have_empty_lines() -> None:
    note = sign("one\n\ntwo\n", [LOG_KEY], T0)

    assert Note.parse(note.to_bytes()) == note


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    try:
        note = Note.parse(data)
    except InvalidNote:
        return
    assert note.to_bytes() == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        "origin\n1\n",
        f"\n1\n{encode_base64(EMPTY_ROOT)}\n",
        f"origin\n01\n{encode_base64(EMPTY_ROOT)}\n",
        f"origin\n-1\n{encode_base64(EMPTY_ROOT)}\n",
        f"origin\n1.0\n{encode_base64(EMPTY_ROOT)}\n",
        f"origin\n99999999999999999999\n{encode_base64(EMPTY_ROOT)}\n",
        f"origin\n1\n{encode_base64(EMPTY_ROOT[:31])}\n",
        f"origin\n1\n{EMPTY_ROOT.hex()}\n",
        f"origin\n1\n{encode_base64(EMPTY_ROOT)}\n\n",
        f"origin\n1\n{encode_base64(EMPTY_ROOT)}",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        Checkpoint.parse(text)


def test_a_checkpoint_may_carry_further_lines() -> None:
    text = Checkpoint("origin", 5, EMPTY_ROOT).text() + "more\n"

    assert Checkpoint.parse(text) == Checkpoint("origin", 5, EMPTY_ROOT)


class TestPolicy:
    def test_the_log_alone_is_enough_where_no_witness_is_asked_for(self) -> None:
        signed = POLICY.confirmed_checkpoint(make_log().note.to_bytes())

        assert signed.log_keys == (LOG_KEY.verifier,)
        assert signed.witnesses == {}

    def test_a_quorum_of_witnesses_is_counted(self) -> None:
        note = make_log().note

        with pytest.raises(UntrustedNote, match="0 of 1 witnesses"):
            WITNESSED.confirmed_checkpoint(note.to_bytes())
        with pytest.raises(UntrustedNote, match="0 of 1 witnesses"):
            WITNESSED.confirmed_checkpoint(cosigned(note, OTHER_WITNESS_KEY).to_bytes())
        signed = WITNESSED.confirmed_checkpoint(cosigned(note).to_bytes())
        assert signed.witnesses == {"witness.example/w1": T0 + 60}

    def test_two_keys_of_one_witness_are_one_witness(self) -> None:
        second = key("witness.example/w1", Algorithm.ML_DSA_44_COSIGNATURE)
        with pytest.raises(ValueError, match="quorum"):
            TrustPolicy(
                ORIGIN, (LOG_KEY.verifier,), (WITNESS_KEY.verifier, second.verifier), quorum=2
            )

    def test_one_key_under_two_names_is_one_witness(self) -> None:
        twin = SigningKey.from_seed("w.example/2", WITNESS_KEY.algorithm, WITNESS_KEY.seed)
        with pytest.raises(ValueError, match="two names"):
            TrustPolicy(ORIGIN, (LOG_KEY.verifier,), (WITNESS_KEY.verifier, twin.verifier), 2)

    def test_a_log_is_not_its_own_witness(self) -> None:
        own = SigningKey.from_seed("w.example/1", Algorithm.ED25519_COSIGNATURE, LOG_KEY.seed)
        with pytest.raises(ValueError, match="its own witness"):
            TrustPolicy(ORIGIN, (LOG_KEY.verifier,), (own.verifier,), 1)

    def test_a_witness_key_says_when(self) -> None:
        with pytest.raises(ValueError, match="cosignatures"):
            TrustPolicy(ORIGIN, (LOG_KEY.verifier,), (key("w.example/1").verifier,), 1)

    def test_a_policy_without_a_log_key_is_none(self) -> None:
        with pytest.raises(ValueError, match="at least one key"):
            TrustPolicy(ORIGIN, ())

    def test_witnesses_alone_prove_nothing(self) -> None:
        note = make_log().note
        only_witness = Note(note.text, cosigned(note).signatures[1:])

        with pytest.raises(UntrustedNote, match="none of the log's keys"):
            WITNESSED.signed_checkpoint(only_witness.to_bytes())

    def test_another_log_is_another_log(self) -> None:
        other = sign(Checkpoint("other.example", 0, EMPTY_ROOT).text(), [LOG_KEY], T0)

        with pytest.raises(InvalidNote, match=r"of other\.example"):
            POLICY.signed_checkpoint(other.to_bytes())

    def test_the_empty_log_has_one_root(self) -> None:
        false = sign(Checkpoint(ORIGIN, 0, bytes(32)).text(), [LOG_KEY], T0)

        with pytest.raises(InvalidNote, match="empty log"):
            POLICY.signed_checkpoint(false.to_bytes())

    def test_one_false_signature_of_a_known_key_spoils_the_note(self) -> None:
        note = cosigned(make_log().note)
        log_line, witness_line = note.signatures
        broken = SignatureLine(witness_line.name, witness_line.key_id, bytes(72))

        with pytest.raises(BadSignature):
            WITNESSED.signed_checkpoint(Note(note.text, (log_line, broken)).to_bytes())
