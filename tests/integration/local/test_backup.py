"""What docs/operations/backup.md promises: a copy of a stopped installation goes on elsewhere, and
the directories of elements alone give every document back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.processes import short_folder, wait_until

from artstore.client import ArtStore
from artstore.local.home import Home
from artstore.local.modules import ELEMENTS
from artstore.local.ports import free_ports
from artstore.local.stack import Stack

pytestmark = pytest.mark.stack

DOCUMENTS = {"договор.txt": "условия".encode(), "plan.bin": bytes(300_000), "empty": b""}


@contextmanager
def running(home: Path) -> Iterator[ArtStore]:
    stack = Stack(Home.at(home), free_ports())
    stack.start()
    try:
        with ArtStore.from_home(home) as store:
            yield store
    finally:
        stack.stop()


def contents(store: ArtStore, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    for number, file in enumerate(store.files()):
        store.get(file.file_id, folder / str(number))
    names = [file.original_filename for file in store.files()]
    return {name: (folder / str(number)).read_bytes() for number, name in enumerate(names)}


def test_copies_give_back_what_was_stored() -> None:
    with short_folder() as folder:
        first, copy, anew = folder / "a", folder / "b", folder / "c"
        with running(first) as store:
            for name, content in DOCUMENTS.items():
                store.put(content, filename=name)
        shutil.copytree(first, copy, symlinks=True)
        with running(copy) as store:
            wait_until(lambda: len(list(store.files())) == len(DOCUMENTS), "the catalogue")
            assert contents(store, folder / "from_copy") == DOCUMENTS

        # Nothing else was saved: a new installation takes the elements over.
        with running(anew):
            pass
        for name in ELEMENTS:
            shutil.rmtree(anew / "data" / name)
            shutil.copytree(copy / "data" / name, anew / "data" / name)
        with running(anew) as store:
            wait_until(lambda: len(list(store.files())) == len(DOCUMENTS), "the catalogue")
            assert contents(store, folder / "from_elements") == DOCUMENTS
