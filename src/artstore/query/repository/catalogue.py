"""Reads the catalogue. Questions about files in, rows out; decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, select

from artstore.core.catalogue import copies, elements, files, restores
from artstore.core.database import Database
from artstore.core.model.collection import FileCopy
from artstore.core.model.element import ElementEntry
from artstore.core.model.ids import ElementId, FileId
from artstore.query.model.criteria import Criteria, Listing
from artstore.query.repository.conditions import (
    Visible,
    conditions,
    is_selective,
    name_contains,
)

MATCHES_SORTED_MAX: Final = 5000
"""Up to here all matches are collected and sorted; more are met soon enough on the way
through the files, the newest first."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """`record` holds the bytes of the attr.json."""

    record: bytes
    revision: int
    deleted: bool
    element_id: str
    collection: str


@dataclass(frozen=True, slots=True)
class KnownElement:
    """`complete_until`: see `core.catalogue.covers`."""

    entry: ElementEntry
    complete_until: datetime | None


@dataclass(frozen=True, slots=True)
class Hit:
    file_id: FileId
    record: bytes


class Catalogue:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, file_id: FileId) -> CatalogueEntry | None:
        columns = (files.c.record, files.c.revision, files.c.state, files.c.element_id)
        statement = select(*columns, files.c.collection).where(files.c.file_id == UUID(file_id))
        async with self._database.session() as session:
            row = (await session.execute(statement)).one_or_none()
        if row is None:
            return None
        deleted = row.state == "deleted"
        return CatalogueEntry(row.record, row.revision, deleted, row.element_id, row.collection)

    async def copies(self, file_id: FileId) -> list[ElementId]:
        """Who has the file, if more than one element ever had."""
        statement = (
            select(copies.c.element_id)
            .where(copies.c.file_id == UUID(file_id), copies.c.state == "present")
            .order_by(copies.c.element_id)
        )
        async with self._database.session() as session:
            return list(await session.scalars(statement))

    async def restored(self, file_id: FileId) -> ElementId | None:
        """Who has a copy of an archived file that can be read for a while."""
        statement = select(restores.c.element_id).where(
            restores.c.file_id == UUID(file_id), restores.c.expires_at > func.now()
        )
        async with self._database.session() as session:
            return (await session.scalars(statement)).one_or_none()

    async def holders(self, file_id: FileId) -> list[FileCopy]:
        """Every element that has or had the file, the one that serves it first in front."""
        first = select(files.c.element_id, files.c.revision, files.c.state).where(
            files.c.file_id == UUID(file_id)
        )
        further = (
            select(copies.c.element_id, copies.c.revision, copies.c.state)
            .where(copies.c.file_id == UUID(file_id))
            .order_by(copies.c.element_id)
        )
        async with self._database.session() as session:
            known = [FileCopy.model_validate(row) for row in await session.execute(first)]
            rows = [FileCopy.model_validate(row) for row in await session.execute(further)]
        serving = {copy.element_id for copy in known}
        # What is said of a copy apart is nearer to the truth than the row of the file.
        said = [copy for copy in rows if copy.element_id in serving]
        return [*(said or known), *(copy for copy in rows if copy.element_id not in serving)]

    async def elements(self) -> list[KnownElement]:
        columns = (elements.c.element_id, elements.c.url, elements.c.priority)
        async with self._database.session() as session:
            rows = (await session.execute(select(*columns, elements.c.complete_until))).all()
        return [
            KnownElement(
                ElementEntry(element_id=row.element_id, url=row.url, priority=row.priority),
                row.complete_until,
            )
            for row in rows
        ]

    async def newest(self, listing: Listing, count: int, visible: Visible) -> list[Hit]:
        """The newest first."""
        statement = _newest(_listed(listing, visible), count)
        return await self._hits(statement)

    async def search(self, criteria: Criteria, count: int, visible: Visible) -> list[Hit]:
        """At most `count` files that meet all conditions, the newest first."""
        wanted = conditions(criteria, visible)
        if not is_selective(criteria):
            return await self._hits(_newest(wanted, count))
        return await self._search(wanted, count)

    async def search_in_names(self, criteria: Criteria, count: int, visible: Visible) -> list[Hit]:
        """As `search`, but `q` may stand anywhere in the name, also inside a word."""
        without_words = criteria.model_copy(update={"q": ""})
        wanted = [*conditions(without_words, visible), name_contains(criteria.q)]
        return await self._search(wanted, count)

    async def _search(self, wanted: list[ColumnElement[bool]], count: int) -> list[Hit]:
        """A word that few files have must not make PostgreSQL walk through all files by date.

        It would, hoping to meet enough of them soon: with a million files that took 2.9 s.
        So the matches are collected first, and sorted if they are few.
        """
        async with self._database.session() as session:
            rows = (await session.execute(_few(wanted, count))).all()
            if rows and rows[0].matches > MATCHES_SORTED_MAX:
                rows = (await session.execute(_newest(wanted, count))).all()
        return _to_hits(rows)

    async def _hits(self, statement: Select[Any]) -> list[Hit]:
        async with self._database.session() as session:
            return _to_hits((await session.execute(statement)).all())


def _listed(listing: Listing, visible: Visible) -> list[ColumnElement[bool]]:
    return conditions(
        Criteria(collection=listing.collection, limit=listing.limit, cursor=listing.cursor),
        visible,
    )


def _newest(wanted: list[ColumnElement[bool]], count: int) -> Select[Any]:
    statement = select(files.c.file_id, files.c.record).where(*wanted)
    return statement.order_by(files.c.file_id.desc()).limit(count)


def _few(wanted: list[ColumnElement[bool]], count: int) -> Select[Any]:
    matches = (
        select(files.c.file_id)
        .where(*wanted)
        .limit(MATCHES_SORTED_MAX + 1)
        .cte("matches")
        .prefix_with("MATERIALIZED")
    )
    page = (
        select(matches.c.file_id)
        .order_by(matches.c.file_id.desc())
        .limit(count)
        .cte("page")
        .prefix_with("MATERIALIZED")
    )
    total = select(func.count()).select_from(matches).scalar_subquery()
    return (
        select(files.c.file_id, files.c.record, total.label("matches"))
        .join_from(page, files, files.c.file_id == page.c.file_id)
        .order_by(files.c.file_id.desc())
    )


def _to_hits(rows: Sequence[Row[Any]]) -> list[Hit]:
    return [Hit(FileId(str(row.file_id)), row.record) for row in rows]
