"""May a new file, or a restored copy of one, come in, as the element stands now?"""

from artstore.storage.engine import mode_rules
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.modes import Standing
from artstore.storage.engine.writer import Writer


class Admission:
    def __init__(self, writer: Writer, standing: Standing, room: Room) -> None:
        self._writer = writer
        self._standing = standing
        self._room = room

    def check_new(self, size: int) -> None:
        """Refuse a file before its content is sent.

        Raises:
            ModeForbids, NoRoom, Unavailable: As the element stands now.
        """
        self._writer.check()
        mode_rules.check_create(self._standing.mode)
        self._room.check(size)

    def check_restored(self) -> None:
        """Raises:
        ModeForbids, Unavailable: As the element stands now.
        """
        self._writer.check()
        mode_rules.check_restored(self._standing.mode)
