"""Work in the background, as its routes show it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class JobState(StrEnum):
    QUEUED = "queued"
    """It begins at `run_after`, or as soon as somebody is free."""
    RUNNING = "running"
    WAITING = "waiting"
    """There is nothing to do now; it is woken when there is."""
    DONE = "done"
    FAILED = "failed"
    """Given up: `last_error` says why. What was done so far stays done."""
    CANCELLED = "cancelled"


class Job(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    job_id: int
    kind: str
    key: str
    """What it is about: a collection, an element... One job of a kind and key is open."""
    state: JobState
    attempt: int
    failures: int
    """In a row; the next attempt waits longer after each."""
    run_after: datetime
    lease_until: datetime | None
    worker: str | None
    cancel_wanted: bool
    progress: dict[str, Any]
    last_error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    payload: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """What whoever asked for it first gave along; not for everybody who may see jobs."""
