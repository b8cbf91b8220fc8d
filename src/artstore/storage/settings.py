"""Settings of a storage element. Variables are `ARTSTORE_` and the field in capitals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from artstore.core.model.element import StorageMode
from artstore.core.model.ids import ElementId
from artstore.core.model.scrub import RATE_BYTES_MAX, RATE_BYTES_MIN
from artstore.core.settings import ScannerSettings


class StorageSettings(ScannerSettings):
    element_id: ElementId
    root: Path
    """Directory of the element, on a local volume: data, log and unfinished uploads."""
    admin_url: str | None = None
    """Whom to tell of refusals, for the audit log. Nothing else depends on it."""
    mode: StorageMode = StorageMode.EDIT
    """Of a new element. Later the one in element.json holds and this is ignored."""
    reserved_bytes: int = Field(default=256 << 20, ge=64 << 20)
    """Stays free on the volume: the log and what it promises must always find room."""
    capacity_warning: float = Field(default=0.15, ge=0)
    """The element warns when no more than so much is free above the reserve: a share of the
    volume up to 1, bytes beyond that."""
    capacity_critical: float = Field(default=0.05, ge=0)
    """As `capacity_warning`, and then somebody must act."""
    inline_bytes_max: int = Field(default=64 << 10, ge=0, le=1 << 20)
    """Files up to this size go through the log as a whole, with one flush for many."""
    segment_bytes: int = Field(default=32 << 20, ge=8 << 20, le=1 << 30)
    checkpoint_interval_s: float = Field(default=5.0, ge=0.25, le=3600)
    """Bounds, with `checkpoint_bytes`, what a start after a crash has to do again."""
    checkpoint_bytes: int = Field(default=256 << 20, ge=8 << 20)
    backend: Literal["local", "s3"] = "local"
    """Where the files lie: under `root`, or in a bucket. The log is under `root` always."""
    s3_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/?#]+$")
    """Of the store, without the bucket."""
    s3_bucket: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    s3_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?$")
    """Of all keys, so that elements may share a bucket. It never changes."""
    s3_region: str = "us-east-1"
    s3_access_key_file: Path | None = None
    s3_secret_key_file: Path | None = None
    s3_capacity_bytes: int = Field(default=1 << 40, ge=1 << 20)
    """How much the element may hold: a store does not say what it has."""
    s3_concurrency: int = Field(default=32, ge=1, le=256)
    """Requests at once, for writing and for reading each."""
    s3_timeout_s: float = Field(default=15.0, ge=1, le=120)
    """Of one request. Twice as long, and the store counts as away."""
    s3_require_versioning: bool = False
    """The element is ready only if the bucket has it switched on."""
    s3_require_object_lock: bool = False
    """As `s3_require_versioning`."""
    scrub_interval_s: float = Field(default=14 * 86_400, ge=0)
    """From the end of one pass over everything to the next; 0: only on demand."""
    scrub_rate_bytes_per_s: int = Field(default=20_000_000, ge=RATE_BYTES_MIN, le=RATE_BYTES_MAX)

    archive_directory: Path | None = None
    """Where contents go when the element is in mode `ar`: a mounted directory of its own."""
    archive_rate_bytes_per_s: int = Field(default=50_000_000, ge=RATE_BYTES_MIN, le=RATE_BYTES_MAX)
    """How fast they go there."""

    @model_validator(mode="after")
    def _archive_fits(self) -> Self:
        if self.archive_directory is None:
            return self
        if self.backend != "local":
            raise ValueError("a bucket has archives of its own: archive_directory is for local")
        if not self.archive_directory.is_absolute():
            raise ValueError("archive_directory must be an absolute path")
        return self

    @model_validator(mode="after")
    def _root_is_absolute(self) -> Self:
        if not self.root.is_absolute():
            raise ValueError("root must be an absolute path")
        return self

    @model_validator(mode="after")
    def _store_is_named(self) -> Self:
        if self.backend == "local":
            return self
        needed = ("s3_endpoint", "s3_bucket")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"the backend s3 needs {', '.join(missing)}")
        return self

    def secret_names(self) -> tuple[str, ...]:
        return ("s3_access_key", "s3_secret_key") if self.backend == "s3" else ()

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.s3_endpoint and not self.s3_endpoint.startswith("https://"):
            yield "ARTSTORE_S3_ENDPOINT is without TLS: begin it with https://"
