"""What the client of the object store raises, in our words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from artstore.core.logging import get_logger
from artstore.storage.engine.backends.base import StoreAway, StoreFull

_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_FULL_CODES: Final = frozenset(
    {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XAmzQuotaExceeded"}
)


@contextmanager
def reaching(*expected: type[BaseError]) -> Iterator[None]:
    """Around each request.

    Raises:
        FileNotFoundError: There is no such object.
        StoreAway: Anything else, but what is `expected`. Its detail names nothing internal;
            the cause goes into the log.
    """
    try:
        yield
    except expected:
        raise
    except FileNotFoundError as error:
        # Without a body (HEAD) it can only be told by another request.
        if _code(error) == "NoSuchBucket":
            raise StoreAway("the bucket is gone") from error
        raise FileNotFoundError("no such object") from error
    except BaseError as error:
        raise _away(error) from error


def _away(error: BaseError) -> StoreAway:
    code = _code(error)
    get_logger().warning("request to the object store failed", cause=str(error).split("\n\n")[0])
    refusals = (PermissionDeniedError, UnauthenticatedError)
    if isinstance(error, refusals) or " 403 " in str(error):
        return StoreAway("the object store refuses our credentials")
    if code in _FULL_CODES or " 507 " in str(error):
        return StoreFull("the object store is full")
    if code == "NoSuchBucket":
        return StoreAway("the bucket is gone")
    return StoreAway("the object store cannot be reached")


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""
