"""A collection: files that belong together, and what is asked for them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from artstore.core.model.admission import Admission
from artstore.core.model.file import Text
from artstore.core.model.findings import WITHOUT_NUL
from artstore.core.model.ids import CollectionName, ElementId

Title = Annotated[Text, StringConstraints(max_length=256, pattern=WITHOUT_NUL)]
Description = Annotated[Text, StringConstraints(max_length=4096, pattern=WITHOUT_NUL)]
Copies = Literal[1, 2]
"""On how many storage elements each file lies."""


class CollectionEntry(BaseModel):
    """What may be said of a new collection. Files may be in one that nobody made: it has the
    defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: CollectionName
    title: Title = ""
    description: Description = ""
    copies: Copies = 1
    admission: Admission = Admission()


class CollectionChange(BaseModel):
    """`None` leaves a field as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title | None = None
    description: Description | None = None
    copies: Copies | None = None
    admission: Admission | None = None
    """Members that are left out stay as they are; `null` takes a limit away."""


class Collection(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    collection: CollectionName
    title: str
    description: str
    copies: Copies
    admission: Admission
    created_at: datetime
    updated_at: datetime


class FileCopy(BaseModel):
    """One element's copy of a file, as the catalogue knows it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    element_id: ElementId
    revision: int
    state: Literal["present", "deleted", "missing", "damaged"]
