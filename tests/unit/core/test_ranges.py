import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.errors import RangeNotSatisfiable
from artstore.core.web.ranges import parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10)),
        ("bytes=9-", (9, 10)),
        ("bytes=2-5", (2, 6)),
        ("bytes=2-999", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-999", (0, 10)),
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 20 + "-", None),
    ],
)
def test_one_range_of_ten_bytes(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_a_range_behind_the_end_cannot_be_answered(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refusal:
        parse_range(header, size)
    assert refusal.value.fields["size_bytes"] == size


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(0, 99))
def test_what_comes_out_lies_inside_the_file(header: str, size: int) -> None:
    try:
        window = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert window is None or 0 <= window[0] < window[1] <= size
