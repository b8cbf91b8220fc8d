"""What content is by its bytes, and when its sender is contradicted."""

import asyncio
import io
import zipfile
from collections.abc import Mapping
from os import urandom

import pytest

from artstore.core.antivirus import beyond_limits
from artstore.core.archives import HEAD_BYTES, TAIL_BYTES, Ends, read_directory
from artstore.ingester.services.detection import NOT_RECOGNISED, TOGETHER_MAX, Detector
from artstore.ingester.services.signatures import PDF, TEXT, UNKNOWN, ZIP, Found, recognise
from artstore.ingester.services.types import is_allowed, needs_a_guess, settle

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
MIDI = b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x00\x60MTrk" + b"\x00" * 50
RUSSIAN = "Договор № 17. Стороны договорились. " * 50


def zipped(entries: Mapping[str, bytes | str], comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for name, content in entries.items():
            stored = zipfile.ZIP_STORED if name == "mimetype" else None
            archive.writestr(name, content, stored)
    return out.getvalue()


def document(folder: str, **more: bytes) -> bytes:
    names = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": "x" * 9000,
        f"{folder}/a.xml": "<a/>",
    }
    return zipped({**names, **more})


def odt() -> bytes:
    return zipped({"mimetype": ODT, "content.xml": "<a/>", "META-INF/manifest.xml": "<m/>"})


def seen(content: bytes) -> Found | None:
    return recognise(content[:HEAD_BYTES], content[-TAIL_BYTES:])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"%PDF-1.7\n" + urandom(3000) + b"\nstartxref\n9\n%%EOF\n", PDF),
        (document("word"), DOCX),
        (document("xl"), XLSX),
        (document("xl", **{"xl/vbaProject.bin": b"x"}),
         "application/vnd.ms-excel.sheet.macroenabled.12"),
        (odt(), ODT),
        (zipped({"a.txt": "a"}), ZIP),
        (zipped({"a.txt": "a"}, comment=b"c" * 65535), ZIP),
        (zipped({"META-INF/MANIFEST.MF": "a"}), "application/java-archive"),
        (b"\x89PNG\r\n\x1a\n" + urandom(100), "image/png"),
        (b"MZ" + urandom(500), "application/vnd.microsoft.portable-executable"),
        (RUSSIAN.encode(), TEXT),
        (RUSSIAN.encode("cp1251"), TEXT),
        (RUSSIAN.encode("utf-16"), TEXT),
        (b"\xef\xbb\xbf \n<!DOCTYPE html><p>", "text/html"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "image/svg+xml"),
        (b"<?xml version='1.0'?><a/>", "application/xml"),
    ],
)  # fmt: skip
def test_content_is_recognised_by_its_bytes(content: bytes, found: str) -> None:
    assert seen(content) == Found(found)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"%PDF-1.7 without an end", PDF),
        (document("word")[:-30], ZIP),
        (document("word") + b"\0" * 40, ZIP),
        (b"PK\x03\x04" + urandom(500), ZIP),
        (zipped({"mimetype": ODT, "content.xml": "<a/>"}), ODT),
    ],
)
def test_what_begins_like_a_document_and_is_none_is_not_sound(
    content: bytes, content_type: str
) -> None:
    assert seen(content) == Found(content_type, is_sound=False)


@pytest.mark.parametrize(
    ("declared", "content", "served", "is_mismatch"),
    [
        ("application/pdf", b"%PDF-1.7 ... %%EOF", "application/pdf", False),
        ("application/x-pdf", b"%PDF-1.7 ... %%EOF", "application/x-pdf", False),
        ("application/pdf", b"%PDF-1.7 cut", "application/pdf", True),
        ("application/pdf", b"MZ\x90\0", "application/vnd.microsoft.portable-executable", True),
        ("application/pdf", RUSSIAN.encode(), TEXT, True),
        ("image/png", b"<html><script>", "text/html", True),
        ("image/png", b"GIF89a", "image/gif", True),
        ("image/png", b"\0\1\2\3", "application/octet-stream", True),
        ("text/csv; charset=utf-8", RUSSIAN.encode(), "text/csv; charset=utf-8", False),
        ("application/json", b'{"a": 1}', "application/json", False),
        ("text/plain", b"\0\1\2\3", "application/octet-stream", True),
        (DOCX, document("word"), DOCX, False),
        (DOCX, document("xl"), XLSX, True),
        (DOCX, zipped({"a": "b"}), ZIP, True),
        (DOCX, document("word")[:-30], ZIP, True),
        ("application/zip", document("word"), DOCX, False),
        ("application/vnd.thing+zip", zipped({"a": "b"}), "application/vnd.thing+zip", False),
        ("application/msword", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword", False),
        ("application/x-thing", b"\0\1\2\3", "application/x-thing", False),
        ("application/x-thing", b"\x7fELF", "application/x-executable", True),
        ("application/pdf", b"", "application/pdf", False),
    ],
)
def test_a_sender_is_contradicted_only_where_the_bytes_say_so(
    declared: str, content: bytes, served: str, is_mismatch: bool
) -> None:
    found = seen(content) or Found("application/octet-stream")

    assert settle(declared, "text/plain", found) == (served, is_mismatch)


def test_a_name_is_believed_only_as_far_as_the_bytes_allow() -> None:
    assert settle(None, "text/csv", Found(TEXT)).content_type == "text/csv"
    assert settle(None, PDF, Found(TEXT)) == (TEXT, False)
    assert settle(None, "application/octet-stream", Found("image/png")) == ("image/png", False)


@pytest.mark.parametrize(
    ("patterns", "content_type", "allowed"),
    [
        ((), "anything/at-all", True),
        (("application/pdf", "image/*"), "image/png", True),
        (("application/pdf", "image/*"), "Application/PDF; x=1", True),
        (("application/pdf",), "application/pdfx", False),
        (("image/jpeg",), "image/jpg", True),
        (("*/*",), "a/b", False),
    ],
)
def test_the_list_of_allowed_types(
    patterns: tuple[str, ...], content_type: str, allowed: bool
) -> None:
    assert is_allowed(content_type, patterns) is allowed


async def test_libmagic_knows_the_rest_and_is_not_sure() -> None:
    detector = Detector()
    midi = MIDI

    assert await detector.detect(midi, midi, UNKNOWN) == Found("audio/midi", is_certain=False)
    assert (
        await detector.detect(b"\0\1\2\3", b"", UNKNOWN)
    ).content_type == "application/octet-stream"
    detector.close()


async def test_who_asks_libmagic_together_gets_the_answer_for_his_own() -> None:
    detector = Detector()
    contents = [MIDI, b"\0\1\2\3"] * TOGETHER_MAX

    asked = [asyncio.create_task(detector.detect(each, b"", UNKNOWN)) for each in contents]
    await asyncio.sleep(0)
    asked[2].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    detector.close()

    assert isinstance(found.pop(2), asyncio.CancelledError)
    types = [each.content_type for each in found if isinstance(each, Found)]
    del contents[2]
    assert types == ["audio/midi" if each == MIDI else UNKNOWN for each in contents]


async def test_after_libmagic_failed_the_next_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = Detector()
    with monkeypatch.context() as broken:
        broken.setattr(detector, "_guess_all", failing)
        for _ in range(2):
            with pytest.raises(MemoryError):
                await detector.detect(MIDI, b"", UNKNOWN)

    assert (await detector.detect(MIDI, b"", UNKNOWN)).content_type == "audio/midi"
    detector.close()


def failing(_: object) -> list[Found]:
    raise MemoryError


SAID = ("image/x-own", "application/x-own", "video/mp2t", UNKNOWN, ZIP, TEXT, PDF, "image/x-png")


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("declared", [True, False])
def test_libmagic_is_asked_where_its_answer_changes_something(said: str, declared: bool) -> None:
    def settled(found: Found) -> object:
        return settle(said if declared and said != UNKNOWN else None, said, found)

    guesses = [Found(each, is_certain=False) for each in (*SAID, "audio/midi")]
    answers = {settled(guess) for guess in guesses} | {settled(NOT_RECOGNISED)}
    assert needs_a_guess(said) == (len(answers) > 1)


def ends_of(content: bytes) -> Ends:
    ends = Ends()
    for start in range(0, len(content), 65536):
        ends.feed(content[start : start + 65536])
    return ends


@pytest.mark.parametrize("files", [4000, 66_000])
def test_a_zip_of_many_files_is_one(files: int) -> None:
    """Its directory is longer than what is kept of its end; of 65,536 files it is a zip64."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(files):
            archive.writestr(f"folder/document {number:0100}.txt", b"")
    ends = ends_of(out.getvalue())
    assert read_directory(ends.tail) is None

    found = recognise(ends.head, ends.tail)

    assert found == Found(ZIP)
    cut = recognise(ends.head, ends_of(out.getvalue()[:-1]).tail)
    assert cut == Found(ZIP, is_sound=False)


def test_a_large_file_inside_makes_no_zip_a_lie() -> None:
    content = bytearray(zipped({"a": "b"}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = b"\xff" * 4

    assert recognise(bytes(content), bytes(content)) == Found(ZIP)
    assert beyond_limits(ends_of(bytes(content))) == "archive_limits"


def test_a_directory_that_is_not_whole_is_not_read() -> None:
    content = zipped({f"{number}": "x" for number in range(20)})
    assert read_directory(content) is not None
    for cut in range(1, len(content)):
        assert read_directory(content[:-cut]) is None
    # Every other byte of the directory's end wrong in turn: refused or read, never a crash.
    for position in range(len(content) - 60, len(content)):
        broken = bytearray(content)
        broken[position] ^= 0xFF
        read_directory(bytes(broken))
