import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artstore.cli.put_state import KEY_LIFETIME, States
from artstore.cli.trees import Entry, walk
from artstore.client.settings import Profile
from artstore.client.uploads import Details
from artstore.core.model.ids import FileIdSource

PROFILE = Profile("https://x", None, "cli", "secret")
FILE_ID = "01a204ea-028c-75c8-a93c-59d9606ef0c7"
NOW = datetime(2026, 11, 26, tzinfo=UTC)
_IDS = FileIdSource()


def new_key() -> str:
    return _IDS.new(NOW, bytes(10))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARTSTORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "имя\udcff").write_bytes(b"x")
    (found,) = walk([tmp_path / "tree"])
    assert isinstance(found, Entry)
    return found


def states(**options: bool) -> States:
    return States(PROFILE, Details(), **options)


def changed(entry: Entry) -> Entry:
    Path(entry.path).write_bytes(b"changed")
    return entry.at(Path(entry.path).stat())


def test_what_is_stored_is_known_to_the_next_run(home: Path, entry: Entry) -> None:
    first = states()
    first.begin(entry, NOW, new_key)
    first.stored(entry, FILE_ID)
    first.close()

    again = states()
    assert again.stored_id(entry) == FILE_ID
    assert states(read_only=True).stored_id(entry) == FILE_ID
    assert again.stored_id(changed(entry)) is None
    again.close()


def test_a_key_is_used_again_while_it_is_good(home: Path, entry: Entry) -> None:
    first = states()
    begun = first.begin(entry, NOW, new_key)
    first.close()

    again = states()
    assert again.begin(entry, NOW, new_key) == begun
    late = again.begin(entry, NOW + KEY_LIFETIME + timedelta(seconds=1), new_key)
    assert late.may_be_stored
    assert late.key != begun.key
    other = again.begin(changed(entry), NOW, new_key)
    assert other.key != begun.key
    assert not other.may_be_stored
    again.close()


def test_the_address_of_an_upload_in_parts_is_kept(home: Path, entry: Entry) -> None:
    first = states()
    begun = first.begin(entry, NOW, new_key)
    first.in_parts(entry, begun.key, "/api/v1/uploads/x")
    first.close()

    again = states()
    assert again.begin(entry, NOW, new_key).upload_url == "/api/v1/uploads/x"
    again.close()


def test_a_torn_line_says_nothing_and_ends_before_the_next(home: Path, entry: Entry) -> None:
    first = states()
    first.begin(entry, NOW, new_key)
    first.stored(entry, FILE_ID)
    first.close()
    (file,) = (home / "put").iterdir()
    file.write_bytes(file.read_bytes()[:-9])

    again = states()
    assert again.stored_id(entry) is None
    again.stored(entry, FILE_ID)
    again.close()
    last = states()
    assert last.stored_id(entry) == FILE_ID
    last.close()


def test_other_settings_and_archives_share_nothing(home: Path, entry: Entry) -> None:
    first = states()
    first.stored(entry, FILE_ID)

    for other in (
        States(PROFILE, Details(collection="other")),
        States(Profile("https://y", None, "cli", "secret"), Details()),
        States(Profile("https://x", None, "other", "secret"), Details()),
    ):
        assert other.stored_id(entry) is None
        other.close()
    first.close()


def test_one_command_at_a_time_and_for_the_owner_only(home: Path, entry: Entry) -> None:
    first = states()
    first.stored(entry, FILE_ID)
    (file,) = (home / "put").iterdir()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(OSError, match="another `artstore put`"):
        states().stored_id(entry)
    first.close()
    afresh = states(afresh=True)
    assert afresh.stored_id(entry) is None
    afresh.close()


def test_without_an_archive_of_ones_own_it_is_kept_with_the_user(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARTSTORE_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    kept = states()
    kept.stored(entry, FILE_ID)
    kept.close()

    assert len(list((tmp_path / "state/artstore/put").iterdir())) == 1
