"""Whose store it is: `element.json` in the bucket names the one volume that may write there."""

import errno
from typing import Final

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore
from pydantic import ValidationError

from artstore.core.logging import get_logger
from artstore.storage.engine.backends.base import StoreAway
from artstore.storage.engine.backends.object_failures import reaching
from artstore.storage.engine.identity import ElementFile

ELEMENT_KEY: Final = "element.json"


class ObjectOwner:
    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def claim(self, element: ElementFile, *, is_new: bool, holds_files: bool) -> ElementFile:
        """As `Backend.connect`.

        Args:
            holds_files: The bucket does.
        """
        found = self._found()
        if found is None:
            if holds_files:
                raise StoreAway("the bucket holds files, but its element.json is missing")
            self._put(element, None)
            return element
        owner, e_tag = found
        if owner.element_id != element.element_id:
            raise StoreAway(f"the bucket belongs to the element {owner.element_id}")
        if owner.feed_id == element.feed_id:
            self.check(element)
            return element
        if not is_new:
            raise StoreAway("another volume has taken over the bucket of this element")
        get_logger().warning("a new volume takes over the bucket", former_feed=owner.feed_id)
        adopted = element.model_copy(update={"mode": owner.mode, "created_at": owner.created_at})
        self._put(adopted, e_tag)
        return adopted

    def check(self, element: ElementFile) -> None:
        """Make sure that it still is `element`, and let the store remember its mode.

        Raises:
            OSError: Somebody else writes here. Whatever this process still did would be lost.
        """
        found = self._found()
        if found is None:
            raise StoreAway("the element.json in the bucket is missing")
        owner, e_tag = found
        if owner.feed_id != element.feed_id:
            raise OSError(errno.ESTALE, "another volume has taken over the bucket")
        if owner != element:
            self._put(element, e_tag)

    def _found(self) -> tuple[ElementFile, str | None] | None:
        try:
            with reaching():
                result = obstore.get(self._store, ELEMENT_KEY)
                data = bytes(result.bytes())
            return ElementFile.model_validate_json(data), result.meta["e_tag"]
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StoreAway("the element.json in the bucket is damaged") from error

    def _put(self, element: ElementFile, replaces: str | None) -> None:
        data = element.model_dump_json(indent=2).encode() + b"\n"
        try:
            with reaching(AlreadyExistsError, PreconditionError):
                obstore.put(
                    self._store,
                    ELEMENT_KEY,
                    data,
                    mode={"e_tag": replaces} if replaces else "create",
                )
        except (AlreadyExistsError, PreconditionError) as error:
            raise StoreAway("another process changes the element.json in the bucket") from error
