"""Goal: whoever checks a bundle, on whatever machine, gets a verdict in plain words; and whoever
made the bundle cannot make the verifier say anything but its own sentences.

Method: true and hostile bundles, run as a stranger would run them.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from tests.security.tamper.test_bundle_manipulations import TRUSTED, one, unpacked, verdict_on
from tests.support.bundles import Verdict, bare_python, deposited, run_verifier
from tests.support.transparency import LOG_KEY, WITNESS_KEY

from artstore.core.audit import verify_bundle
from artstore.core.audit.bundle import safe_name

DOCUMENT_NAME = "document/_Договор _ 7.pdf"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return unpacked(tmp_path, deposited().bundle())


@pytest.fixture
def program(tmp_path: Path) -> Path:
    target = tmp_path / "own-verify.py"
    shutil.copy(verify_bundle.__file__, target)
    return target


def on_python(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*map(str, arguments)], capture_output=True, timeout=60, check=False, env=environment
    )


def last_line(verdict: Verdict) -> str:
    return verdict.text.strip().splitlines()[-1]


def test_without_cryptography_it_says_what_to_install(bundle: Path) -> None:
    # Without its site packages a Python has nothing but itself.
    done = on_python(sys.executable, "-I", "-S", bundle / "verify.py")

    assert done.returncode == 2
    assert done.stdout.decode().startswith("NOT CHECKED. ")
    assert "python3 -m pip install cryptography" in done.stdout.decode()
    assert not done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp1251"])
def test_a_terminal_that_cannot_show_a_name_gets_its_verdict_all_the_same(
    bundle: Path, encoding: str
) -> None:
    done = on_python(bare_python(), bundle / "verify.py", *TRUSTED, PYTHONIOENCODING=encoding)

    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).rstrip().endswith("PROVEN, with the keys that you gave.")


def test_without_a_witness_it_says_what_that_leaves_open(bundle: Path) -> None:
    verdict = verdict_on(bundle, "--key", LOG_KEY.verifier)

    assert verdict.proven
    assert "No witness was asked for (--witness): whoever holds the log's key" in verdict.text


def test_keys_of_a_witness_alone_are_not_silently_left_aside(bundle: Path) -> None:
    verdict = verdict_on(bundle, "--witness", WITNESS_KEY.verifier)

    assert not verdict.proven
    assert "the log's own key is missing (--key)" in last_line(verdict)


def test_keys_may_stand_in_files_as_they_are_published(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"# of 2026\n\nlog      {LOG_KEY.verifier}\n")
    (tmp_path / "witness").write_text(f"witness  {WITNESS_KEY.verifier}\n")
    (tmp_path / "all").write_text(f"log {LOG_KEY.verifier}\nwitness {WITNESS_KEY.verifier}\n")
    files = ("--key", tmp_path / "log", "--witness", tmp_path / "witness")

    assert "with the keys that you gave" in verdict_on(bundle, *files).text
    assert "exactly one log" in verdict_on(bundle, "--key", tmp_path / "all").text
    (tmp_path / "letter.docx").write_bytes(b"PK\xff\xfe")
    for name in ("nothing", "letter.docx"):
        other = verdict_on(bundle, "--key", tmp_path / name)
        assert "Neither a public key nor a file" in last_line(other)


@pytest.mark.parametrize("name", ["nothing-here.zip", "empty-folder"])
def test_what_is_no_bundle_is_said_to_be_none(program: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty-folder").mkdir()
    verdict = run_verifier(program, tmp_path / name, *TRUSTED)

    assert not verdict.proven
    assert last_line(verdict).startswith("NOT PROVEN. ")
    assert "Errno" not in verdict.text


def rezipped(change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> bytes:
    out = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(deposited().bundle())) as before,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for info in before.infolist():
            change(after, info, before.read(info))
    return out.getvalue()


def with_extra(name: str, content: bytes = b"x") -> bytes:
    out = BytesIO(deposited().bundle())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "events/../../x", "document/../x.pdf", "C:\\x", "a\nb"]
)
def test_a_name_that_leads_elsewhere_is_nothing_that_is_proven(
    program: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "bundle.zip").write_bytes(with_extra(name))
    verdict = run_verifier(program, tmp_path / "bundle.zip", *TRUSTED)

    assert not verdict.proven
    assert len([line for line in verdict.text.splitlines() if line.startswith("NOT PROVEN")]) == 1


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_not_chosen_between(program: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(with_extra(DOCUMENT_NAME, b"another one"))
    verdict = run_verifier(program, tmp_path / "bundle.zip", *TRUSTED)

    assert not verdict.proven
    assert "two files of one name" in last_line(verdict)


@pytest.mark.parametrize("name", ["attr.json", "keys.json", "receipt.jws", "events"])
def test_a_file_that_unpacks_to_gigabytes_is_not_read(
    program: Path, tmp_path: Path, name: str
) -> None:
    if name == "events":
        name = next(n for n in names_in(deposited().bundle()) if n.startswith("events/"))

    def change(after: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        if info.filename != name:
            after.writestr(info, data)
            return
        with after.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(b" " * (1 << 20))

    (tmp_path / "bundle.zip").write_bytes(rezipped(change))
    # 300 MB do not fit beside what Python itself takes.
    limited = f"ulimit -v 400000; exec {bare_python()} {program} {tmp_path}/bundle.zip"
    keys = [str(item) for item in TRUSTED]
    done = on_python("bash", "-c", f'{limited} "$@"', "verify", *keys)

    assert done.returncode == 1, done.stderr
    assert b"larger than such a file can be" in done.stdout


def names_in(data: bytes) -> list[str]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return archive.namelist()


def test_a_document_that_goes_on_for_ever_is_read_no_further_than_was_deposited(
    bundle: Path, tmp_path: Path
) -> None:
    with one(bundle, "document/*").open("ab") as file:
        file.truncate(1 << 40)
    verdict = verdict_on(bundle, *TRUSTED)

    assert not verdict.proven
    assert "The document is not the one that was deposited" in last_line(verdict)


def test_any_damage_to_a_zip_is_answered_in_plain_words(tmp_path: Path) -> None:
    """In one process, or it would take minutes."""
    whole = deposited().bundle()
    path = tmp_path / "bundle.zip"
    said: list[str] = []
    proven = 0
    for position in range(7, len(whole), max(1, len(whole) // 600)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        said.clear()
        code = verify_bundle.main([str(path), *map(str, TRUSTED)], said.append)
        assert code == 0 or said[-1].startswith("NOT PROVEN. "), position
        proven += code == 0
    # What no reader of a zip looks at (README.txt, verify.py itself, times, attributes).
    assert proven < 350


@pytest.mark.parametrize("flag", ["encrypted", "method"])
def test_a_zip_that_python_cannot_read_is_answered_in_plain_words(
    tmp_path: Path, program: Path, flag: str
) -> None:
    data = bytearray(deposited().bundle())
    name = b"attr.json"
    for start, offset in ((data.find(name) - 30, 6), (data.rfind(name) - 46, 8)):
        field = offset if flag == "encrypted" else offset + 2
        data[start + field] = 1 if flag == "encrypted" else 99
    (tmp_path / "bundle.zip").write_bytes(data)
    verdict = run_verifier(program, tmp_path / "bundle.zip", *TRUSTED)

    assert not verdict.proven
    assert last_line(verdict).startswith("NOT PROVEN. ")


@pytest.mark.parametrize("name", ["attr.json", "keys.json", "events/*", "receipt-key/*.json"])
@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"event":' * 200_000, "[]", "null", "1", '{"a":"\\ud800"}', "1" * 5000, "NaN"],
    ids=["deep", "deeper", "list", "null", "number", "surrogate", "huge", "nan"],
)
def test_json_of_another_shape_is_damage_and_nothing_else(
    bundle: Path, name: str, text: str
) -> None:
    one(bundle, name).write_text(text)
    said: list[str] = []
    keys = map(str, TRUSTED)

    assert verify_bundle.main([str(bundle), *keys], said.append) == 1
    assert said[-1].startswith("NOT PROVEN. ")


@pytest.mark.parametrize(
    "name", ["\x1b[2K\rPROVEN", "PROVEN, with the keys\n\nPROVEN.", "\u202eNEVORP", "a\x9b1A\x85b"]
)
def test_no_name_in_a_bundle_can_write_a_sentence(bundle: Path, name: str) -> None:
    (bundle / "keys.json").write_text(json.dumps({"log_keys": [name]}))
    said = [verdict_on(bundle, "--key", name).text]
    event = verify_bundle.Event(
        7,
        {
            "at": name,
            "kind": "file.uploaded",
            "outcome": "succeeded",
            "actor": {"person": name, "account": None},
            "personal": {},
        },
        {"actor_name": name},
    )
    said.append(verify_bundle.shown(verify_bundle.describe(event)))

    for text in said:
        assert text.strip().isprintable()


@pytest.mark.parametrize(
    "filename",
    ["договор.pdf", "й" * 1024, "漢" * 500 + ".pdf", "𐌰" * 300 + ".tar.gz", "CON", "nul.txt",
     "COM1.pdf", "a/b\\c:d*e?.doc", "..", " . ", "x. ", "😀.png", "\x00\x1b[2J", "a" * 300,
     ".hidden", "a." + "b" * 300, "e\u0301te\u0301.pdf", "AUX .txt"],
)  # fmt: skip
def test_every_system_can_unpack_the_name_of_a_document(filename: str) -> None:
    name = safe_name(filename)

    assert 0 < len(name.encode()) <= 200
    assert name == name.strip(" .")
    assert name.isprintable()
    assert not set(name) & set('<>:"/\\|?*')
    stem = name.partition(".")[0].rstrip(" ").upper()
    assert stem not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


def test_a_name_keeps_its_letters_and_its_ending() -> None:
    assert safe_name("Договор № 7.pdf") == "Договор _ 7.pdf"
    assert safe_name("и\u0306од.pdf") == "йод.pdf", "as a Mac spells it"
    assert safe_name("й" * 1024 + ".pdf").endswith("й.pdf")


def test_an_older_library_may_know_the_key_and_not_be_able_to_use_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ML-DSA needs a new OpenSSL below the Python package as well."""

    class Unusable:
        @staticmethod
        def from_public_bytes(_: bytes) -> None:
            raise verify_bundle.UnsupportedAlgorithm("no ML-DSA here")

    monkeypatch.setattr(verify_bundle, "MLDSA44PublicKey", Unusable)
    said: list[str] = []

    assert verify_bundle.main([str(bundle)], said.append) == 0, said


def test_a_document_of_no_bytes_is_compared_too(bundle: Path) -> None:
    one(bundle, "document/*").write_bytes(b"")
    verdict = verdict_on(bundle, *TRUSTED)

    assert "It has 0 bytes" in last_line(verdict)
    assert sha256(b"").hexdigest() in verdict.text


def test_what_a_computer_lays_beside_the_files_is_named_with_what_to_do(bundle: Path) -> None:
    (bundle / ".DS_Store").write_bytes(b"\0" * 100)
    verdict = verdict_on(bundle, *TRUSTED)

    assert not verdict.proven
    assert "take it out and check again" in last_line(verdict)


def test_the_verifier_leaves_nothing_behind(bundle: Path) -> None:
    before = sorted(bundle.iterdir())
    assert verdict_on(bundle, *TRUSTED).proven
    assert verdict_on(bundle, *TRUSTED).proven
    assert sorted(bundle.iterdir()) == before
