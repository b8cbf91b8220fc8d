"""A log asks a witness: the flow of a request, and everything that can come back."""

import pytest
from tests.support.transparency import (
    LOG_KEY,
    OTHER_WITNESS_KEY,
    T0,
    WITNESS_KEY,
    entry,
    make_log,
)

from artstore.core.tlog.errors import (
    BadSignature,
    InvalidNote,
    LogRolledBack,
    MalformedRequest,
    UntrustedNote,
)
from artstore.core.tlog.log import Log
from artstore.core.tlog.merkle.proofs import verify_consistency
from artstore.core.tlog.notes.note import SignatureLine, signature_line
from artstore.core.tlog.witnessing import (
    SIZE_MEDIA_TYPE,
    AddCheckpoint,
    Answer,
    Cosigning,
    WitnessRefused,
    WitnessRolledBack,
    cosigning,
)

# The example of c2sp.org/tlog-witness.
EXAMPLE = b"""old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\xe2\x80\x94 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\xe2\x80\x94 example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""  # noqa: E501


def log_of(size: int) -> Log:
    log = make_log()
    log.append([entry(i) for i in range(size)], T0)
    return log


def asking(log: Log, known_size: int = 0) -> Cosigning:
    return cosigning(log.reader(), log.note, [WITNESS_KEY.verifier], known_size)


def signed(log: Log) -> SignatureLine:
    return signature_line(log.note.text, WITNESS_KEY, T0)


def ok(*lines: SignatureLine) -> Answer:
    return Answer(200, "text/plain", "".join(map(str, lines)).encode())


def conflict(body: bytes, media_type: str = SIZE_MEDIA_TYPE) -> Answer:
    return Answer(409, media_type, body)


def result_of(flow: Cosigning, answer: Answer) -> tuple[SignatureLine, ...]:
    with pytest.raises(StopIteration) as end:
        flow.send(answer)
    lines: tuple[SignatureLine, ...] = end.value.value
    return lines


def test_the_example_of_the_specification_is_read_and_written_as_it_is() -> None:
    request = AddCheckpoint.parse(EXAMPLE)

    assert (request.old_size, len(request.proof)) == (20852014, 4)
    assert request.to_bytes() == EXAMPLE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        EXAMPLE[4:],
        EXAMPLE.replace(b"old 2", b"new 2"),
        EXAMPLE.replace(b"old 2", b"old  2"),
        EXAMPLE.replace(b"old 2", b"old 02"),
        EXAMPLE.replace(b"old 2", b"old -2"),
        EXAMPLE.replace(b"PlRN", b"PlR"),
        EXAMPLE.replace(b"kaw=\n", b"kax=\n"),
        EXAMPLE.replace(b"Pd8=\n", b"Pd8=\r\n"),
        EXAMPLE.replace(b"/0=\n\n", b"/0=\n"),
        EXAMPLE.replace(b"/0=\n\n", b"/0=\n\n\n"),
        EXAMPLE.replace(b"\n", b"\r\n"),
        b"old 1\n" + EXAMPLE.splitlines(keepends=True)[1] * 64 + EXAMPLE.partition(b"\n\n")[2],
    ],
)
def test_a_malformed_request_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        AddCheckpoint.parse(body)


def test_the_first_request_has_no_proof() -> None:
    log = log_of(5)
    flow = asking(log)

    request = AddCheckpoint.parse(next(flow))
    assert (request.old_size, request.proof, request.note) == (0, (), log.note)
    assert result_of(flow, ok(signed(log))) == (signed(log),)


def test_a_later_request_proves_what_lies_between() -> None:
    log = log_of(700)
    request = AddCheckpoint.parse(next(asking(log, known_size=300)))

    assert request.old_size == 300
    root = log.reader().root_at(300)
    verify_consistency(300, root, 700, log.checkpoint.root, request.proof)


def test_a_witness_that_knows_more_than_we_thought_is_asked_again() -> None:
    flow = asking(log := log_of(10), known_size=3)
    next(flow)

    again = AddCheckpoint.parse(flow.send(conflict(b"7\n")))
    assert again.old_size == 7
    assert result_of(flow, ok(signed(log))) == (signed(log),)


def test_a_witness_that_forgot_what_it_signed_raises_an_alarm() -> None:
    flow = asking(log_of(10), known_size=7)
    next(flow)

    with pytest.raises(WitnessRolledBack, match="remembers 3 entries and has signed 7"):
        flow.send(conflict(b"3\n"))


def test_a_witness_that_has_seen_more_than_we_have_raises_an_alarm() -> None:
    flow = asking(log_of(10))
    next(flow)

    with pytest.raises(LogRolledBack, match="has seen 12 entries, the log has 10"):
        flow.send(conflict(b"12\n"))


def test_a_log_that_is_shorter_than_what_the_witness_signed_asks_all_the_same() -> None:
    """The witness's refusal is the alarm: it names the size that we lost."""
    flow = asking(log_of(10), known_size=12)
    next(flow)

    with pytest.raises(LogRolledBack):
        flow.send(conflict(b"12\n"))


def test_a_witness_that_never_agrees_is_left() -> None:
    flow = asking(log_of(10))
    next(flow)
    for size in (b"1\n", b"2\n", b"3\n"):
        flow.send(conflict(size))

    with pytest.raises(WitnessRefused, match="other sizes"):
        flow.send(conflict(b"4\n"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, "text/plain", b"no such key"),
        Answer(404, "text/plain", b""),
        Answer(422, "text/plain", b"bad proof"),
        Answer(500, "text/html", b"<h1>oops</h1>"),
        conflict(b"7\n", "text/plain"),
        conflict(b"seven\n"),
        conflict(b"-1\n"),
        conflict(b"\xff"),
    ],
)
def test_any_other_answer_is_a_refusal_with_its_status(answer: Answer) -> None:
    flow = asking(log_of(10))
    next(flow)

    with pytest.raises(WitnessRefused) as refusal:
        flow.send(answer)
    assert refusal.value.status == answer.status


def test_only_true_signatures_of_the_witness_are_taken() -> None:
    log = log_of(10)
    true, other = signed(log), signature_line(log.note.text, OTHER_WITNESS_KEY, T0)
    flow = asking(log)
    next(flow)
    assert result_of(flow, ok(other, true)) == (true,)

    false = SignatureLine(true.name, true.key_id, true.signature[:-1] + b"\0")
    for answer, failure in (
        (ok(other), UntrustedNote),
        (ok(true, false), BadSignature),
        (ok(signature_line("another text\n", WITNESS_KEY, T0)), BadSignature),
        (ok(signature_line(log.note.text, LOG_KEY, T0)), UntrustedNote),
        (Answer(200, "text/plain", b"thanks\n"), InvalidNote),
        (Answer(200, "text/plain", b"\xff\n"), InvalidNote),
        (Answer(200, "text/plain", b""), InvalidNote),
    ):
        flow = asking(log)
        next(flow)
        with pytest.raises(failure):
            flow.send(answer)
