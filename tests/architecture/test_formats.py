"""What is written about the formats on disk is what the code does."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.restored import RestoredCopy
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.archive.marks import ArchiveMark, ArchiveNotes
from artstore.storage.engine.identity import ElementFile, ModeChange
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.open_upload import OpenUpload
from artstore.storage.engine.scrub.ledger import OpenFinding
from artstore.storage.engine.scrub.progress import Progress
from artstore.storage.engine.sidecar import parse, seal

FORMATS = Path(__file__).parents[2] / "docs" / "formats"


def attr_schema() -> str:
    """The schema of a sealed attr.json. To renew the file: write this text into it."""
    schema = FileRecord.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "attr.json, version 1"
    del schema["description"]
    schema["properties"]["record_sha256"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "SHA-256 of every byte of the file before the comma before this member",
    }
    return json.dumps(schema, indent=2) + "\n"


def test_the_schema_is_that_of_the_code() -> None:
    assert (FORMATS / "attr.schema.json").read_text("utf-8") == attr_schema()


def example() -> bytes:
    text = (FORMATS / "attr-json.md").read_text("utf-8")
    match = re.search(r"```json\n(\{.*?\})\n```", text, re.DOTALL)
    assert match is not None
    return match[1].encode() + b"\n"


def test_the_example_is_a_whole_attr_json() -> None:
    data = example()
    record = parse(data, FileId(json.loads(data)["file_id"]))

    assert record.original_filename == "Договор 17.pdf"
    assert seal(record.to_json()) == data


def test_the_seal_can_be_checked_by_hand() -> None:
    data = example()
    body, _, tail = data.rpartition(b',"record_sha256":"')

    assert tail == hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def test_the_path_is_the_one_described() -> None:
    record = parse(example(), FileId(json.loads(example())["file_id"]))
    text = (FORMATS / "attr-json.md").read_text("utf-8")

    assert Layout("").content(record).removeprefix("/") in text
    assert Layout("").attr(record.file_id).removeprefix("/") in text


def test_every_member_is_described() -> None:
    text = (FORMATS / "attr-json.md").read_text("utf-8")

    described = set(re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE))
    assert described == {*FileRecord.model_fields, "record_sha256"}


@pytest.mark.parametrize(
    ("number", "model"), list(enumerate((ArchiveMark, ArchiveNotes, RestoredCopy)))
)
def test_archive_and_restored_copies_are_as_described(number: int, model: type[BaseModel]) -> None:
    text = (FORMATS / "archive.md").read_text("utf-8")
    examples = re.findall(r"```json\n(\{.*?\})\n```", text, re.DOTALL)
    shown = json.loads(examples[number])
    if model is RestoredCopy:
        shown["record"] = json.loads(example())
        del shown["record"]["record_sha256"]

    assert set(shown) == set(model.model_fields)
    assert model.model_validate(shown)


def test_the_element_file_is_the_one_described() -> None:
    text = (FORMATS / "element-json.md").read_text("utf-8")
    example = re.search(r"```json\n(\{.*?\})\n```", text, re.DOTALL)
    assert example is not None
    element = ElementFile.model_validate_json(example[1])

    assert element.model_dump_json(indent=2, by_alias=True, exclude_none=True) == example[1]
    assert all(f"| `{name}` |" in text for name in ElementFile.model_fields)
    aliases = [field.alias or name for name, field in ModeChange.model_fields.items()]
    assert all(f"`{name}`" in text for name in aliases)


def scrub_examples() -> list[str]:
    text = (FORMATS / "scrub.md").read_text("utf-8")
    return re.findall(r"```json\n(\{.*?\})\n```", text, re.DOTALL)


def test_the_files_of_the_scrub_are_the_ones_described() -> None:
    progress, finding = scrub_examples()
    assert Progress.model_validate_json(progress).checked_files == 120
    assert OpenFinding.model_validate_json(finding).seq == 18

    text = (FORMATS / "scrub.md").read_text("utf-8")
    for kind in (Progress, OpenFinding):
        assert all(f"`{name}`" in text for name in kind.model_fields if name != "format_version")


def test_every_finding_is_described() -> None:
    for document in (FORMATS / "log.md", FORMATS.parent / "operations" / "scrub.md"):
        text = document.read_text("utf-8")
        assert [kind for kind in FindingKind if f"`{kind}`" not in text] == []


def test_the_state_of_an_upload_in_parts_is_the_one_described() -> None:
    text = (FORMATS / "open-upload.md").read_text("utf-8")
    match = re.search(r"```json\n(\{.*?\})\n```", text, re.DOTALL)
    assert match is not None
    upload = OpenUpload.model_validate_json(match[1])

    assert (upload.offset, upload.draft.original_filename) == (1 << 20, "Протокол.mp4")
    written = json.loads(upload.model_dump_json())
    assert {*json.loads(match[1])} == {*written}
