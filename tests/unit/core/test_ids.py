import os
from datetime import UTC, datetime, timedelta

import pytest

from artstore.core.errors import InvalidRequest
from artstore.core.model.ids import FileIdSource, file_id_time, is_file_id, parse_file_id

NOW = datetime(2026, 11, 22, 19, 30, 15, 123000, tzinfo=UTC)


def test_an_id_tells_when_it_was_made() -> None:
    assert file_id_time(FileIdSource().new(NOW, os.urandom(10))) == NOW


def test_ids_sort_in_the_order_of_their_making_even_when_the_clock_goes_back() -> None:
    source = FileIdSource()
    moments = [NOW, NOW, NOW - timedelta(hours=1), NOW + timedelta(milliseconds=1)]
    ids = [source.new(moments[i % 4], os.urandom(10)) for i in range(20_000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(is_file_id(file_id) for file_id in ids)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "01a204ea-028c-45c8-a93c-59d9606ef0c7",  # version 4
        "01A204EA-028C-75C8-A93C-59D9606EF0C7",  # upper case: two names for one path
        "01a204ea-028c-75c8-a93c-59d9606ef0c7\n",
        "01a204ea-028c-75c8-c93c-59d9606ef0c7",  # wrong variant
        "../01a204ea-028c-75c8-a93c-59d9606ef0c7",
    ],
)
def test_anything_else_is_not_an_id(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_file_id(text)
