"""The page that readers of the log rely on names what the code writes."""

import re
from pathlib import Path

from artstore.core.model.audit import AuditEvent, AuditKind, PersonalField

PAGE = Path("docs/formats/audit-event.md").read_text()


def _documented_kinds() -> set[str]:
    kinds: set[str] = set()
    thing = ""
    for name in re.findall(r"`([a-z_]*\.[a-z_]+)`", PAGE.partition("## Kinds")[2]):
        thing = name.partition(".")[0] or thing
        kinds.add(f"{thing}.{name.partition('.')[2]}")
    return kinds


def test_every_kind_is_on_the_page_and_no_other() -> None:
    assert _documented_kinds() - {"attr.json"} == {kind.value for kind in AuditKind}


def test_every_member_is_on_the_page() -> None:
    for member in AuditEvent.model_fields:
        assert f"`{member}`" in PAGE


def test_every_personal_fact_is_on_the_page() -> None:
    for field in PersonalField:
        assert f"`{field}`" in PAGE
