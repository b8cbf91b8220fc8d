"""Pages of files: what was searched for, and what is newest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from artstore.core.metrics import SEARCH_DURATION
from artstore.query.model.criteria import Criteria, Listing
from artstore.query.repository.catalogue import Catalogue, Hit
from artstore.query.repository.conditions import Visible

_HAS_TRIGRAM: Final = re.compile(r"[^\W_]{3}|[^\W_]{2}[\W_]|[\W_][^\W_]{2}")
"""What the index of names can look for: three letters or digits, or two of them at the end of a
word. To find other parts, `---` or `a-b`, PostgreSQL would have to read every name."""


@dataclass(frozen=True, slots=True)
class FoundPage:
    """`records` are the attr.json of the files, as bytes: nothing needs to parse them again."""

    records: Sequence[bytes]
    next_cursor: str | None


class Search:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def newest(self, listing: Listing, visible: Visible) -> FoundPage:
        # One more than wanted: it says whether there is a next page.
        hits = await self._catalogue.newest(listing, listing.limit + 1, visible)
        return _page(hits, listing.limit, by="w")

    async def search(self, criteria: Criteria, visible: Visible) -> FoundPage:
        """By words; when nothing has them, by a part of the name.

        The cursor says which of the two its page came from, so that later pages go on alike.
        """
        with SEARCH_DURATION.time():
            by_name = criteria.cursor is not None and criteria.cursor.startswith("n")
            if not by_name:
                hits = await self._catalogue.search(criteria, criteria.limit + 1, visible)
                if hits or criteria.cursor is not None:
                    return _page(hits, criteria.limit, by="w")
            # Also for a cursor: it may be made up, or of another question.
            if not _may_be_part_of_a_name(criteria.q):
                return FoundPage([], None)
            hits = await self._catalogue.search_in_names(criteria, criteria.limit + 1, visible)
            return _page(hits, criteria.limit, by="n")


def _may_be_part_of_a_name(query: str) -> bool:
    return _HAS_TRIGRAM.search(query.strip()) is not None


def _page(hits: Sequence[Hit], limit: int, *, by: str) -> FoundPage:
    shown = hits[:limit]
    more = len(hits) > limit
    return FoundPage([hit.record for hit in shown], by + shown[-1].file_id if more else None)
