"""What a search asks for: the parameters of `/search` and `/files`, checked."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json

from artstore.core.model.file import FILE_BYTES_MAX, Metadata, Sha256, Tag, Text
from artstore.core.model.ids import CollectionName, FileId, is_file_id

PAGE_ITEMS_MAX: Final = 1000
PAGE_ITEMS_DEFAULT: Final = 50
CONDITIONS_MAX: Final = 32
NESTING_MAX: Final = 64
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def _day_begins(value: object) -> object:
    """A date alone means its beginning, UTC."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return f"{value}T00:00:00Z"
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone: 2026-11-22T10:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time must lie between the years 1 and 9999") from None


def _cursor(value: str) -> str:
    if not (value[:1] in ("w", "n") and is_file_id(value[1:])):
        raise ValueError("a cursor is what the page before gave as next_cursor")
    return value


def _key_and_value(value: str) -> str:
    if not value.partition(":")[0] or ":" not in value:
        raise ValueError("meta is a key, a colon and a value")
    return value


def _plain_json(value: object) -> object:
    """Refuses what the database could not take: numbers beyond a double, endless nesting."""
    level = [value]
    for _ in range(NESTING_MAX):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise ValueError("numbers must be finite")
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return value
    raise ValueError(f"metadata may be nested {NESTING_MAX} levels deep")


def _inside(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


Moment = Annotated[datetime, BeforeValidator(_day_begins), AfterValidator(_aware)]
Cursor = Annotated[Text, AfterValidator(_cursor)]
MetaCondition = Annotated[Text, AfterValidator(_key_and_value)]
Size = Annotated[int, Field(ge=0, le=FILE_BYTES_MAX)]


class Paging(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=PAGE_ITEMS_DEFAULT, ge=1, le=PAGE_ITEMS_MAX)
    cursor: Cursor | None = None

    @property
    def after(self) -> FileId | None:
        """The last file of the page before."""
        return FileId(self.cursor[1:]) if self.cursor else None


class Listing(Paging):
    """Files, the newest first."""

    collection: CollectionName | None = None


class Criteria(Paging):
    """Conditions that all must hold. Times: `uploaded_after` inclusive, `uploaded_before` not."""

    q: Text = Field(default="", max_length=1000)
    tag: list[Tag] = Field(default=[], max_length=CONDITIONS_MAX)
    collection: CollectionName | None = None
    content_type: Text | None = Field(default=None, max_length=256)
    """As stored; `image/*` stands for a whole family."""
    sha256: Sha256 | None = None
    scan: Literal["clean", "infected", "unscanned", "pending"] | None = None
    """How the scan for viruses ended; `pending`: it could not be done, and is tried again."""
    size_min: Size | None = None
    size_max: Size | None = None
    uploaded_after: Moment | None = None
    uploaded_before: Moment | None = None
    meta: list[MetaCondition] = Field(default=[], max_length=CONDITIONS_MAX)
    """`key:value`; the value is text, a number, true, false or null."""

    def metadata_alternatives(self) -> list[list[dict[str, Any]]]:
        """For each condition the JSON objects of which one must be contained."""
        return [_alternatives(condition) for condition in self.meta]


class CriteriaBody(Criteria):
    """As JSON, where metadata keep their types."""

    metadata: Annotated[Metadata, BeforeValidator(_plain_json)] = {}
    """What the file's metadata must contain, each key with its value."""

    def metadata_alternatives(self) -> list[list[dict[str, Any]]]:
        required = [[{key: value}] for key, value in self.metadata.items()]
        return required + super().metadata_alternatives()


def _alternatives(condition: str) -> list[dict[str, Any]]:
    """`year:2024` means the text and the number alike: a query string cannot tell them apart."""
    key, _, value = condition.partition(":")
    as_text = {key: value}
    try:
        scalar = from_json(value, allow_inf_nan=False)
    except ValueError:
        return [as_text]
    if isinstance(scalar, (str, list, dict)) or scalar in (math.inf, -math.inf):
        return [as_text]
    return [as_text, {key: scalar}]
