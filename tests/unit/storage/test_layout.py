import pytest

from artstore.core.errors import InvalidRequest
from artstore.core.model.ids import FileId
from artstore.storage.engine.layout import Layout, extension_of


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("letter.pdf", ".pdf"),
        ("letter.PDF", ".PDF"),
        ("archive.tar.gz", ".gz"),
        (".profile", ".profile"),
        ("letter", ""),
        ("letter.", ""),
        ("letter.sixteencharacter", ".sixteencharacter"),
        ("letter.seventeencharacte", ""),
        ("отчёт.докум", ""),
        ("../../etc/passwd", ""),
        ("a.b/../c", ""),
        ("a.pdf\n", ""),
        ("a.p\0f", ""),
        ("a.pdf\u202e", ""),
    ],
)
def test_only_a_harmless_extension_becomes_part_of_a_path(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_the_path_follows_from_the_id() -> None:
    layout = Layout("/srv")
    file_id = FileId("01a204bc-d9d3-7009-8001-020304050607")
    assert layout.attr(file_id) == f"/srv/data/2026/11/22/19/{file_id}.attr.json"


def test_an_id_of_the_far_future_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Layout("/srv").directory(FileId("ffffffff-ffff-7fff-bfff-ffffffffffff"))
    last = Layout("/srv").directory(FileId("e677d21f-dbff-7000-8000-000000000000"))
    assert last == "/srv/data/9999/12/31/23"
