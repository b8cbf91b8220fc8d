"""Goal: a proof bundle convinces a stranger who has Python and `cryptography`, and any manipulation
of it is answered with a sentence that a lawyer understands.

Method: unpack a true bundle, manipulate it, run its `verify.py` in a process that cannot import
ArtStore. Careful manipulations make everything fit that can be made to fit without keys.
"""

import ast
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import (
    DOCUMENT,
    KEY_SINCE,
    POLICY,
    Verdict,
    deposited,
    run_verifier,
)
from tests.support.timestamps import Authority
from tests.support.transparency import LOG_KEY, ORIGIN, T0, WITNESS_KEY, key

from artstore.core.audit import verify_bundle
from artstore.core.audit.receipts import SigningKey
from artstore.core.audit.stamps import stamp_request
from artstore.core.canonical_json import canonical_json
from artstore.core.model.file import Uploader
from artstore.core.tlog.merkle.hashing import leaf_hash, tree_root
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.note import sign
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.proof_file import ProofFile

TRUSTED = ("--key", LOG_KEY.verifier, "--witness", WITNESS_KEY.verifier)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return unpacked(tmp_path, deposited().bundle())


def unpacked(folder: Path, data: bytes) -> Path:
    (folder / "bundle.zip").write_bytes(data)
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder / "bundle")
    return folder / "bundle"


def verdict_on(bundle: Path, *options: object) -> Verdict:
    return run_verifier(bundle / "verify.py", *options)


def one(bundle: Path, pattern: str, position: int = 0) -> Path:
    return sorted(bundle.glob(pattern))[position]


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(canonical_json(value) + b"\n")


class TestTrueBundles:
    def test_a_true_bundle_is_proven_with_the_keys_of_the_reader(self, bundle: Path) -> None:
        verdict = verdict_on(bundle, *TRUSTED)

        assert verdict.proven
        assert "byte for byte the one that was deposited on 2027-01-15" in verdict.text
        assert "The witness witness.example/w1 confirmed it on 2027-01-15" in verdict.text
        assert "by Мария" in verdict.text
        assert verdict.text.rstrip().endswith("PROVEN, with the keys that you gave.")

    def test_without_keys_it_asks_to_compare_them(self, bundle: Path) -> None:
        verdict = verdict_on(bundle)

        assert verdict.proven
        assert "if those are the right keys" in verdict.text
        for trusted in (*POLICY.log_keys, *POLICY.witness_keys):
            assert sha256(trusted.public).hexdigest() in verdict.text

    def test_a_bundle_need_not_be_unpacked(self, bundle: Path, tmp_path: Path) -> None:
        program = tmp_path / "own-verify.py"
        shutil.copy(bundle / "verify.py", program)

        assert run_verifier(program, tmp_path / "bundle.zip", *TRUSTED).proven

    def test_facts_that_are_not_shown_are_named(self, tmp_path: Path) -> None:
        verdict = verdict_on(unpacked(tmp_path, deposited().bundle(hidden=True)), *TRUSTED)

        assert verdict.proven
        assert "by usr-7 (not shown: actor_name)" in verdict.text

    def test_a_deleted_document_leaves_a_proof_of_its_deletion(self, tmp_path: Path) -> None:
        gone = deposited(deleted=True)
        verdict = verdict_on(unpacked(tmp_path, gone.bundle(document=None)), *TRUSTED)

        assert verdict.proven
        assert "and deleted on 2027-01-24" in verdict.text

    def test_the_receipt_is_true_with_the_key_that_the_log_names(self, bundle: Path) -> None:
        verdict = verdict_on(bundle, *TRUSTED)

        assert "gave a receipt for this document on 2027-01-25" in verdict.text
        assert "(entry 703)" in verdict.text

    def test_a_bundle_may_have_no_receipt(self, tmp_path: Path) -> None:
        verdict = verdict_on(unpacked(tmp_path, deposited().bundle(receipt="")), *TRUSTED)

        assert verdict.proven
        assert "receipt" not in verdict.text

    def test_the_name_of_the_document_leads_nowhere_else(self, bundle: Path) -> None:
        assert one(bundle, "document/*").name == "_Договор _ 7.pdf"
        assert one(bundle, "document/*").read_bytes() == DOCUMENT

    def test_the_same_bundle_has_the_same_bytes(self) -> None:
        assert deposited().bundle() == deposited().bundle()


def _document_changed(bundle: Path) -> None:
    path = one(bundle, "document/*")
    path.write_bytes(path.read_bytes().replace(b"2026", b"2025", 1))


def _document_and_its_record_changed(bundle: Path) -> None:
    _document_changed(bundle)
    digest = sha256(one(bundle, "document/*").read_bytes()).hexdigest()
    edit(bundle / "attr.json", lambda attr: attr["digests"][0].update(value=digest))


def _everything_made_to_fit(bundle: Path) -> None:
    _document_and_its_record_changed(bundle)
    attr = (bundle / "attr.json").read_bytes()
    digest = json.loads(attr)["digests"][0]["value"]
    for path in bundle.glob("events/*"):
        edit(path, lambda line: _refit(line, digest, sha256(attr).hexdigest()))


def _refit(line: Any, digest: str, record_digest: str) -> None:
    if line["event"]["details"]:
        line["event"]["details"].update(sha256=digest, record_sha256=record_digest)
    line["hash"] = leaf_hash(canonical_json(line["event"])).hex()


def _own_log_with_own_keys(bundle: Path) -> None:
    """A log made up around the manipulated events, signed with keys of the same names."""
    for path in (bundle / "receipt.jws", *bundle.glob("receipt-key/*")):
        path.unlink()
    _everything_made_to_fit(bundle)
    own, own_witness = key(ORIGIN, number=66), key(WITNESS_KEY.name, WITNESS_KEY.algorithm, 66)
    paths = sorted(bundle.glob("events/*"))
    leaves = []
    for index, path in enumerate(paths):
        edit(path, lambda line: line.update(index=index))  # noqa: B023  called at once
        leaves.append(leaf_hash(canonical_json(json.loads(path.read_bytes())["event"])))
        path.rename(path.with_name(f"{index:012d}.json"))
    text = Checkpoint(ORIGIN, len(leaves), tree_root(leaves)).text()
    note = sign(text, [own, own_witness], T0)
    for path in bundle.glob("proofs/*"):
        path.unlink()
    for index in range(3):
        proof = {0: (leaves[1], leaves[2]), 1: (leaves[0], leaves[2])}.get(
            index, (tree_root(leaves[:2]),)
        )
        name = f"proofs/{index:012d}.tlog-proof"
        (bundle / name).write_bytes(ProofFile(index, proof, note).to_bytes())
    policy = TrustPolicy(ORIGIN, (own.verifier,), (own_witness.verifier,), 1)
    keys = {"log_keys": [str(policy.log_keys[0])], "witness_keys": [str(policy.witness_keys[0])]}
    edit(bundle / "keys.json", lambda value: value.update(keys))


def _last_change_left_out(bundle: Path) -> None:
    one(bundle, "events/*", -1).unlink()
    one(bundle, "proofs/*", -1).unlink()


def _events_exchanged(bundle: Path) -> None:
    first, second = one(bundle, "events/*"), one(bundle, "events/*", 1)
    a, b = json.loads(first.read_bytes()), json.loads(second.read_bytes())
    a["event"], b["event"] = b["event"], a["event"]
    a["personal"], b["personal"] = b["personal"], a["personal"]
    first.write_bytes(canonical_json(a) + b"\n")
    second.write_bytes(canonical_json(b) + b"\n")


def _event_of_another_document(bundle: Path) -> None:
    log = deposited().log
    other = deposited().log.events[5]
    entry = other.to_entry()
    proof = ProofFile(5, tuple(log.log.reader().inclusion_proof(5)), log.notes[-1])
    line = {
        "event": json.loads(entry),
        "hash": leaf_hash(entry).hex(),
        "index": 5,
        "personal": {},
    }
    (bundle / "events/000000000005.json").write_bytes(canonical_json(line) + b"\n")
    (bundle / "proofs/000000000005.tlog-proof").write_bytes(proof.to_bytes())


def _older_state_for_one_event(bundle: Path) -> None:
    first = one(bundle, "proofs/*")
    place = deposited().places[0]
    log = deposited().log
    reader = type(log.log.reader())(log.store, 701, log.log.reader().root_at(701))
    note = log.notes[7]
    first.write_bytes(ProofFile(place, tuple(reader.inclusion_proof(place)), note).to_bytes())


def _replace(pattern: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        path = one(bundle, pattern)
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return change


def _in_event(change: Callable[[Any], None], position: int = 0) -> Callable[[Path], None]:
    return lambda bundle: edit(one(bundle, "events/*", position), change)


def _without_witness(bundle: Path) -> None:
    for path in bundle.glob("proofs/*"):
        text = path.read_text()
        lines = [line for line in text.splitlines(keepends=True) if "witness" not in line]
        path.write_text("".join(lines))


def _remove(pattern: str) -> Callable[[Path], None]:
    return lambda bundle: one(bundle, pattern).unlink()


def _add(name: str) -> Callable[[Path], None]:
    return lambda bundle: (bundle / name).write_bytes(b"signed by nobody") and None


def _receipt(**changes: Any) -> Callable[[Path], None]:
    return lambda bundle: (
        (bundle / "receipt.jws").write_text(deposited().receipt(**changes)) and None
    )


def _forged_receipt(bundle: Path) -> None:
    """Other claims, the true header, and the signature of another key."""
    head = deposited().receipt().split(".")[0]
    payload, signature = deposited().receipt(key=SigningKey(), size=1).split(".")[1:]
    (bundle / "receipt.jws").write_text(f"{head}.{payload}.{signature}")


def _event_as_key(bundle: Path) -> None:
    """A true entry of the log, but of something else."""
    for path in bundle.glob("receipt-key/*"):
        path.unlink()
    for folder, suffix in (("events", "json"), ("proofs", "tlog-proof")):
        name = f"000000000700.{suffix}"
        shutil.copy(bundle / folder / name, bundle / "receipt-key" / name)
    edit(bundle / "receipt-key/000000000700.json", lambda _: None)


MANIPULATIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another document": (_document_changed, "The document is not the one that was deposited"),
    "document with one byte more": (
        lambda bundle: one(bundle, "document/*").write_bytes(DOCUMENT + b"\n") and None,
        "The document is not the one that was deposited",
    ),
    "no document": (_remove("document/*"), "exactly one document"),
    "two documents": (_add("document/appendix.pdf"), "exactly one document"),
    "document and record": (_document_and_its_record_changed, "attr.json) is not the one"),
    "everything made to fit": (_everything_made_to_fit, "is not what the archive's log holds"),
    "a log of their own": (_own_log_with_own_keys, "has not signed this state with a key"),
    "record changed": (
        _replace("attr.json", b"contracts", b"contractz"),
        "attr.json) is not the one that the log holds",
    ),
    "record damaged": (_replace("attr.json", b"{", b"["), "attr.json) is damaged"),
    "no record": (_remove("attr.json"), "attr.json) is missing"),
    "time of an event": (
        _in_event(lambda line: line["event"].update(at="2026-01-01T00:00:00.000000Z")),
        "is not what the archive's log holds",
    ),
    "another actor": (
        _in_event(lambda line: line["event"]["actor"].update(person="usr-8")),
        "is not what the archive's log holds",
    ),
    "another name": (
        _in_event(lambda line: line["personal"]["actor_name"].update(value="Пётр")),
        "actor name is not the one that was recorded",
    ),
    "outcome turned": (
        _in_event(lambda line: line["event"].update(outcome="refused"), 1),
        "is not what the archive's log holds",
    ),
    "event damaged": (_in_event(lambda line: line.pop("personal")), "is damaged"),
    "event written twice": (
        _replace("events/*", b'"index"', b'"event":{},"index"'),
        "not written in its one way",
    ),
    "event left out": (_remove("events/*"), "000000000700.tlog-proof proves is missing"),
    "proof left out": (_remove("proofs/*"), "The proof of entry 700 is missing"),
    "last change left out": (_last_change_left_out, "the event of its last change is missing"),
    "events exchanged": (_events_exchanged, "is not what the archive's log holds"),
    "event of another document": (_event_of_another_document, "is about another document"),
    "all events left out": (
        lambda bundle: [path.unlink() for path in bundle.glob("*/0*")] and None,
        "it proves nothing",
    ),
    "proof path changed": (
        lambda bundle: _flip_line(one(bundle, "proofs/*"), 3),
        "is not what the archive's log holds",
    ),
    "index changed": (_replace("proofs/*", b"index 700", b"index 701"), "that of another entry"),
    "size of the log": (_replace("proofs/*", b"\n704\n", b"\n705\n"), "The signature of"),
    "root of the log": (lambda bundle: _flip_line(one(bundle, "proofs/*"), -7), "The signature of"),
    "another log": (_replace("proofs/*", ORIGIN.encode(), b"other.example/log"), "not of"),
    "witness taken out": (_without_witness, "Only 0 of the 1 witnesses"),
    "states mixed": (_older_state_for_one_event, "different states of the log"),
    "receipt changed": (
        lambda bundle: _flip_line(bundle / "receipt.jws", 0, 300),
        "receipt",
    ),
    "receipt of another deposit": (
        _receipt(size=1),
        "The receipt is for another deposit than this one",
    ),
    "receipt for somebody else": (
        _receipt(uploaded_by=Uploader(subject="usr-8", name="Пётр", via="cli")),
        "The receipt is for another deposit than this one",
    ),
    "receipt signed by somebody else": (
        _receipt(key=SigningKey()),
        "not signed with the key that the log names",
    ),
    "receipt with a forged signature": (_forged_receipt, "The signature of the receipt is false"),
    "receipt from before its key": (
        _receipt(at=KEY_SINCE - timedelta(days=1)),
        "at a time when its key did not count",
    ),
    "receipt from after its key": (
        _receipt(at=KEY_SINCE + timedelta(days=31)),
        "at a time when its key did not count",
    ),
    "key of the receipt left out": (_remove("receipt-key/*.json"), "receipt's key is missing"),
    "proof of that key left out": (_remove("receipt-key/*.tlog-proof"), "receipt's key is missing"),
    "another key of the receipt": (
        lambda bundle: edit(
            one(bundle, "receipt-key/*.json"),
            lambda line: line["event"]["details"].update(public_key=SigningKey().public_x),
        ),
        "is not what the archive's log holds",
    ),
    "another event as key": (_event_as_key, "not signed with the key that the log names"),
    "receipt left out, its key not": (_remove("receipt.jws"), "nothing proves it"),
    "something added": (_add("expert opinion.pdf"), "nothing proves it"),
}  # fmt: skip


def _flip_line(path: Path, number: int, position: int = 3) -> None:
    lines = path.read_text().split("\n")
    letter = "A" if lines[number][position] != "A" else "B"
    lines[number] = lines[number][:position] + letter + lines[number][position + 1 :]
    path.write_text("\n".join(lines))


def test_there_are_as_many_manipulations_as_were_promised() -> None:
    assert len(MANIPULATIONS) >= 20


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_a_manipulation_is_answered_with_a_plain_sentence(bundle: Path, name: str) -> None:
    manipulate, sentence = MANIPULATIONS[name]
    manipulate(bundle)

    verdict = verdict_on(bundle, *TRUSTED)

    assert not verdict.proven
    last = verdict.text.strip().splitlines()[-1]
    assert last.startswith("NOT PROVEN. ")
    assert sentence in last
    assert "Traceback" not in verdict.text


def test_keys_in_the_bundle_never_stand_in_for_those_of_the_reader(bundle: Path) -> None:
    _own_log_with_own_keys(bundle)

    assert not verdict_on(bundle, *TRUSTED).proven
    alone = verdict_on(bundle)
    assert "if those are the right keys" in alone.text
    assert sha256(LOG_KEY.verifier.public).hexdigest() not in alone.text


def test_a_time_stamp_belongs_to_the_state_that_everything_is_proven_in(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path / "tsa")
    note = deposited().log.notes[-1].to_bytes()
    stamp = authority.reply(stamp_request(note).body)
    bundle = unpacked(tmp_path, deposited().bundle(timestamp=stamp))

    verdict = verdict_on(bundle, *TRUSTED)
    assert verdict.proven
    assert "openssl ts -verify" in verdict.text
    checked = ("-data", f"{bundle}/checkpoint", "-in", f"{bundle}/checkpoint.tsr")
    authority.openssl("ts", "-verify", *checked, "-CAfile", "ca.pem")

    other = authority.reply(stamp_request(b"another state").body)
    (bundle / "checkpoint.tsr").write_bytes(other)
    assert "time stamp is that of another state" in verdict_on(bundle, *TRUSTED).text
    (bundle / "checkpoint.tsr").unlink()
    assert "Half of the time stamp is missing" in verdict_on(bundle, *TRUSTED).text


def test_a_damaged_zip_is_no_proof(tmp_path: Path, bundle: Path) -> None:
    program = tmp_path / "verify.py"
    shutil.copy(bundle / "verify.py", program)
    whole = (tmp_path / "bundle.zip").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "bundle.zip").write_bytes(whole[:cut])
        verdict = run_verifier(program, tmp_path / "bundle.zip", *TRUSTED)
        assert not verdict.proven
        assert verdict.text.startswith("NOT PROVEN. ")


@pytest.mark.parametrize("keys", ["nonsense", str(LOG_KEY.verifier)[:-6] + "AAAAA="])
def test_a_damaged_key_is_said_to_be_one(bundle: Path, keys: str) -> None:
    verdict = verdict_on(bundle, "--key", keys)

    assert not verdict.proven
    assert "public key" in verdict.text


def test_the_verifier_imports_nothing_but_python_and_cryptography() -> None:
    source = Path(verify_bundle.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
