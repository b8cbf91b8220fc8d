"""As whom PostgreSQL runs."""

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artstore.local import account
from artstore.local.account import (
    OURSELVES,
    Account,
    NoAccount,
    blocking_folder,
    choose_account,
    launched,
    unprivileged,
)

ROOT = os.geteuid() == 0
PYTHON = Path(sys.executable)
SHOW = "import os; print(os.getuid(), os.getgid(), os.getgroups(), os.getppid())"

needs_root = pytest.mark.skipif(not ROOT, reason="only root has an identity to give up")


def run(
    who: Account, script: str = SHOW, parent: int | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    command = launched(
        ["/usr/bin/env", "python3", "-I", "-S", "-c", script],
        parent_death=signal.SIGKILL,
        account=who,
    )
    if parent is not None:
        command[command.index(str(os.getpid()))] = str(parent)
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_a_child_keeps_its_number_through_the_launch() -> None:
    command = launched(
        [PYTHON, "-I", "-S", "-c", "import os; print(os.getpid())"], parent_death=signal.SIGKILL
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate()
    assert int(output) == process.pid


def test_a_child_of_a_supervisor_that_is_gone_does_not_start() -> None:
    done = run(OURSELVES, parent=1)
    assert done.returncode != 0
    assert "supervisor is gone" in done.stderr


def test_a_program_that_is_missing_is_told() -> None:
    command = launched(["/nowhere/program"], parent_death=signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No such file" in done.stderr


@needs_root
def test_inside_a_namespace_root_is_an_ordinary_account() -> None:
    who = choose_account(PYTHON, Path("/tmp/anywhere"))
    if who.launch_arguments[0] != "--namespace":
        pytest.skip("user namespaces are refused on this machine")
    uid, gid = who.launch_arguments[1:]

    done = run(who)

    assert done.stdout.split()[:2] == [uid, gid]
    assert uid != "0"
    assert pwd.getpwuid(int(uid))
    assert who.owner is None


@needs_root
def test_files_made_inside_a_namespace_belong_to_root_outside(tmp_path: Path) -> None:
    who = choose_account(PYTHON, tmp_path)
    run(who, f"open({str(tmp_path / 'made')!r}, 'w')")
    assert (tmp_path / "made").stat().st_uid == 0


@needs_root
def test_without_namespaces_an_unprivileged_account_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_works", lambda _: False)
    monkeypatch.setattr(account, "blocking_folder", lambda *_: None)

    who = choose_account(PYTHON, tmp_path)

    assert who.launch_arguments[0] == "--account"
    done = run(who, extra_groups=[4711])
    assert done.stdout.split()[:3] == [*who.launch_arguments[1:], "[]"]


@needs_root
def test_where_nobody_can_run_it_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_works", lambda _: False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(NoAccount, match=r"cannot pass .* --home"):
        choose_account(Path("/usr/bin/env"), closed / "home")


def test_the_first_closed_folder_on_the_way_is_found(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    way = Path("/tmp") / f"as-way-{os.getpid()}"
    (way / "in").mkdir(parents=True, mode=0o755)
    try:
        assert blocking_folder(way / "in" / "home", nobody.pw_uid, nobody.pw_gid) is None
        way.chmod(0o700)
        assert blocking_folder(way / "in" / "home", nobody.pw_uid, nobody.pw_gid) == way
        assert blocking_folder(way / "in" / "home", os.geteuid(), os.getegid()) is None
    finally:
        (way / "in").rmdir()
        way.rmdir()


@needs_root
def test_an_account_owns_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    who = unprivileged(nobody)
    (tmp_path / "data").mkdir(mode=0o700)

    who.own(tmp_path / "data")
    who.open_way_to([tmp_path])

    assert (tmp_path / "data").stat().st_uid == nobody.pw_uid
    assert tmp_path.stat().st_mode & 0o777 == 0o711
    OURSELVES.own(tmp_path)
    assert tmp_path.stat().st_uid == os.geteuid()


@pytest.mark.skipif(ROOT, reason="root cannot run PostgreSQL as itself")
def test_an_ordinary_user_runs_it_as_itself() -> None:
    assert choose_account(PYTHON, Path("/tmp/anywhere")) == OURSELVES
