"""Goal: the whole table of what modes, retention and holds allow."""

import contextlib
from datetime import timedelta

import pytest
from tests.support.stepped_element import FixedClock, Ids, make_record

from artstore.core.errors import ConfirmationRequired, ModeForbids, RetentionForbids
from artstore.core.model.element import StorageMode
from artstore.core.model.file import Hold
from artstore.core.model.retention import Retention
from artstore.storage.engine import mode_rules

EDIT, RW, RO, AR = StorageMode.EDIT, StorageMode.RW, StorageMode.RO, StorageMode.AR


@pytest.mark.parametrize("mode", [EDIT, RW])
def test_these_take_files_and_changes(mode: StorageMode) -> None:
    mode_rules.check_create(mode)
    mode_rules.check_change(mode)


@pytest.mark.parametrize("mode", [RO, AR])
def test_these_take_nothing(mode: StorageMode) -> None:
    with pytest.raises(ModeForbids):
        mode_rules.check_create(mode)
    with pytest.raises(ModeForbids):
        mode_rules.check_change(mode)


def test_only_edit_deletes(clock: FixedClock, ids: Ids) -> None:
    record = make_record(ids.new(), b"x", clock)
    mode_rules.check_delete(EDIT, record, clock.now())
    for mode in (RW, RO, AR):
        with pytest.raises(ModeForbids):
            mode_rules.check_delete(mode, record, clock.now())


def test_nobody_deletes_before_the_retention_ends(clock: FixedClock, ids: Ids) -> None:
    until = clock.now() + timedelta(days=1)
    retention = Retention(policy="P1D", mode="compliance", retain_until=until)
    record = make_record(ids.new(), b"x", clock, retention=retention)
    with pytest.raises(RetentionForbids):
        mode_rules.check_delete(EDIT, record, until - timedelta(microseconds=1))
    mode_rules.check_delete(EDIT, record, until)


@pytest.mark.parametrize("mode", [EDIT, RW, RO, AR])
def test_the_refusal_says_until_when_in_each_mode(
    mode: StorageMode, clock: FixedClock, ids: Ids
) -> None:
    until = clock.now() + timedelta(days=1)
    retention = Retention(policy="P1D", mode="compliance", retain_until=until)
    record = make_record(ids.new(), b"x", clock, retention=retention)

    with pytest.raises(RetentionForbids) as refused:
        mode_rules.check_delete(mode, record, clock.now())
    assert refused.value.fields["retain_until"] == until.isoformat()


def test_what_is_kept_for_good_is_never_deleted(clock: FixedClock, ids: Ids) -> None:
    retention = Retention(policy="permanent", mode="compliance")
    record = make_record(ids.new(), b"x", clock, retention=retention)
    with pytest.raises(RetentionForbids):
        mode_rules.check_delete(EDIT, record, clock.now() + timedelta(days=365 * 5000))


def test_a_hold_forbids_also_without_retention(clock: FixedClock, ids: Ids) -> None:
    hold = Hold(id="1", matter="Smith v Jones", by="counsel", at=clock.now())
    record = make_record(ids.new(), b"x", clock).model_copy(update={"holds": (hold,)})
    with pytest.raises(RetentionForbids):
        mode_rules.check_delete(EDIT, record, clock.now())


@pytest.mark.parametrize("wanted", list(StorageMode))
@pytest.mark.parametrize("current", list(StorageMode))
def test_modes_go_one_way_and_only_if_it_is_meant(
    current: StorageMode, wanted: StorageMode
) -> None:
    there_is = (current, wanted) in {(RW, RO), (RO, AR), (RO, RW)}
    with contextlib.nullcontext() if there_is else pytest.raises(ModeForbids):
        mode_rules.check_mode_change(current, wanted, confirmed=True)
    with pytest.raises(ConfirmationRequired if there_is else ModeForbids):
        mode_rules.check_mode_change(current, wanted, confirmed=False)


def test_the_refusal_says_what_the_change_means() -> None:
    with pytest.raises(ConfirmationRequired, match="takes no more files"):
        mode_rules.check_mode_change(RW, RO, confirmed=False)
