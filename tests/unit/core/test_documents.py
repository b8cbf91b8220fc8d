"""Every page is found from docs/README.md, and every link within the repository leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "src").rglob("*.md"),
        ROOT / "monitoring/README.md",
    ]
)
OF_AN_INDEX = {"adr", "runbooks"}
_LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")


def targets(page: Path) -> list[Path]:
    links = _LINK.findall(re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL))
    return [(page.parent / link).resolve() for link in links if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in targets(page) if not target.exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "README.md"
    pages = {page for page in DOCS.rglob("*.md") if page.parent.name not in OF_AN_INDEX}

    assert pages - set(targets(index)) - {index} == set()


def test_every_decision_is_in_its_index() -> None:
    index = DOCS / "adr" / "README.md"

    assert set(index.parent.glob("0*.md")) == set(targets(index))
