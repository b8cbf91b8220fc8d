"""Changes of the schema are one chain: two with the same number would stop every start."""

import re
from pathlib import Path

import artstore.admin.migrations

VERSIONS = Path(artstore.admin.migrations.__path__[0]) / "versions"


def test_each_follows_the_one_before() -> None:
    names = sorted(path.name for path in VERSIONS.glob("[0-9]*.py"))
    found = []
    for name in names:
        text = (VERSIONS / name).read_text("utf-8")
        found += re.findall(r'^(?:down_)?revision = (?:"(\d+)"|None)$', text, re.MULTILINE)
    numbers = [f"{number:04}" for number in range(1, len(names) + 1)]
    assert [name.partition("_")[0] for name in names] == numbers
    chain = [part for this, before in zip(numbers, ["", *numbers], strict=False)
             for part in (this, before)]  # fmt: skip
    assert found == chain
