"""The SDK: put files into ArtStore, find them and get them back.

    from artstore.client import ArtStore

    with ArtStore.from_home() as store:
        stored = store.put("report.pdf", tags=["2026"], retention="P10Y")
        store.get(stored.file_id, "copy.pdf")

`AsyncArtStore` has the same methods for asyncio.
"""

from typing import TYPE_CHECKING, Any

from artstore.client.problems import code_of, correlation_id_of
from artstore.client.results import AccessToken, Download, StoredFile
from artstore.client.resumable import Resume
from artstore.client.settings import Profile, ProfileError, load_profile

if TYPE_CHECKING:
    from artstore.client.async_store import AsyncArtStore
    from artstore.client.store import ArtStore

__all__ = [
    "AccessToken",
    "ArtStore",
    "AsyncArtStore",
    "Download",
    "Profile",
    "ProfileError",
    "Resume",
    "StoredFile",
    "code_of",
    "correlation_id_of",
    "load_profile",
]


def __getattr__(name: str) -> Any:
    # Each brings an HTTP library of its own; a program pays for the one it uses.
    if name == "ArtStore":
        from artstore.client.store import ArtStore  # noqa: PLC0415

        return ArtStore
    if name == "AsyncArtStore":
        from artstore.client.async_store import AsyncArtStore  # noqa: PLC0415

        return AsyncArtStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
