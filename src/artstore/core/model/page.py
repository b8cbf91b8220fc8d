"""Lists, a page at a time."""

from typing import Generic, TypeVar

from pydantic import BaseModel

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """`next_cursor` goes into the next request as `cursor`; `None` means there is no more."""

    items: list[Item]
    next_cursor: str | None = None
