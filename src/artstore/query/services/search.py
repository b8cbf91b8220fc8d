"""Pages of files: what was searched for, and what is newest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from artstore.core.metrics import SEARCH_DURATION
from artstore.query.model.criteria import Criteria, Listing
from artstore.query.repository.catalogue import Catalogue, Hit
from artstore.query.repository.conditions import Visible

NAME_PART_CHARS_MIN: Final = 3
"""Shorter parts have no trigram, so finding them would mean reading every name."""


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
                by_name = not hits and _may_be_part_of_a_name(criteria)
                if not by_name:
                    return _page(hits, criteria.limit, by="w")
            hits = await self._catalogue.search_in_names(criteria, criteria.limit + 1, visible)
            return _page(hits, criteria.limit, by="n")


def _may_be_part_of_a_name(criteria: Criteria) -> bool:
    return criteria.cursor is None and len(criteria.q.strip()) >= NAME_PART_CHARS_MIN


def _page(hits: Sequence[Hit], limit: int, *, by: str) -> FoundPage:
    shown = hits[:limit]
    more = len(hits) > limit
    return FoundPage([hit.record for hit in shown], by + shown[-1].file_id if more else None)
