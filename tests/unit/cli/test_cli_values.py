"""Sizes and numbers as people write them."""

import pytest
import typer

from artstore.cli.values import count, limit


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0", 0),
        ("1500", 1500),
        ("500MB", 500_000_000),
        ("2TiB", 2 << 40),
        ("1.5 gb", 1_500_000_000),
        ("none", None),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, found: int | None) -> None:
    assert limit(text, "--size-max") == found


@pytest.mark.parametrize("text", ["", "-1", "1,5GB", "5 parsecs", "1e9"])
def test_what_is_no_size_is_a_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        limit(text, "--size-max")


def test_a_number_is_digits_or_none() -> None:
    assert (count("12", "--quota-files"), count("none", "--quota-files")) == (12, None)
    with pytest.raises(typer.BadParameter):
        count("1.5", "--quota-files")
