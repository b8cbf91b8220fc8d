"""Issuing for other machines, revoking, replacing the authority: what lies in the files."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from artstore.core.certificates import read_crls
from artstore.core.tls import PeerIdentity
from artstore.local import authority_replacement as replacement
from artstore.local import module_certificates
from artstore.local.authority_replacement import Phase, phase
from artstore.local.certificate_files import NoAuthority
from artstore.local.certificate_inspection import faults, files_in
from artstore.local.certificate_register import Issued
from artstore.local.certificate_store import FOLLOWED, CertificateStore, Order
from artstore.local.failures import StackFailure
from artstore.local.pki import AUTHORITY_LIFE, CRL_LIFE, Names

NOW = datetime.now(UTC).replace(microsecond=0)
OWN = PeerIdentity("admin", "admin-1")
REASON = x509.ReasonFlags.key_compromise


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    store = CertificateStore(tmp_path / "pki")
    store.create(NOW)
    return store


@pytest.fixture
def order(tmp_path: Path) -> Order:
    names = Names(("files.example.org",))
    identity = PeerIdentity("storage", "rw-2")
    return Order(identity, names, timedelta(days=30), tmp_path / "rw-2")


def shown(order: Order) -> x509.Certificate:
    return x509.load_pem_x509_certificate((order.folder / "tls.crt").read_bytes())


def test_a_folder_for_another_machine_is_whole(store: CertificateStore, order: Order) -> None:
    store.issue_into(order, NOW)

    assert {path.name for path in order.folder.iterdir()} == {
        *("tls.crt", "tls.key", "ca.crt", "crl.pem"),
    }
    assert list(faults(files_in(order.folder), NOW)) == []
    names = shown(order).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        *("files.example.org", "storage.artstore.internal"),
    ]


def test_it_is_renewed_in_place_with_the_same_names_and_life(
    store: CertificateStore, order: Order
) -> None:
    store.issue_into(order, NOW)
    before = shown(order)
    assert store.renew_due(NOW + timedelta(days=19)) == []

    assert store.renew_due(NOW + timedelta(days=21)) == [order.identity]

    after = shown(order)
    assert after.serial_number != before.serial_number
    for each in (before, after):
        life = each.not_valid_after_utc - each.not_valid_before_utc
        assert life == timedelta(days=30, minutes=5)
    assert after.extensions.get_extension_for_class(x509.SubjectAlternativeName) == (
        before.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    )


def test_a_folder_that_was_thrown_away_is_not_filled_again(
    store: CertificateStore, order: Order
) -> None:
    store.issue_into(order, NOW)
    order.folder.rename(order.folder.with_name("gone"))

    assert store.renew_due(NOW + timedelta(days=21)) == []


def test_nothing_outlives_its_authority(store: CertificateStore, order: Order) -> None:
    store.issue_into(order, NOW + AUTHORITY_LIFE - timedelta(days=2))

    assert shown(order).not_valid_after_utc == store.trusted()[0].not_valid_after_utc


def test_what_was_revoked_is_in_the_list_here_and_there(
    store: CertificateStore, order: Order
) -> None:
    issued = store.issue_into(order, NOW)

    assert store.revoke(store.find("rw-2", NOW), REASON, NOW) == [issued]

    for file in (store.crl_file, order.folder / "crl.pem"):
        (crl,) = read_crls(file)
        entry = crl.get_revoked_certificate_by_serial_number(issued.serial)
        assert entry is not None
        assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == REASON
    assert store.revoke([issued], REASON, NOW) == []
    # Nobody renews it by accident, and nothing forgets it.
    assert store.renew_due(NOW + timedelta(days=25)) == []
    assert store.is_revoked(issued.serial)


def test_a_certificate_of_this_machine_that_was_revoked_is_replaced(
    store: CertificateStore,
) -> None:
    store.renew(OWN, NOW)
    before = store.certificate("admin-1")
    store.revoke(store.find("admin-1", NOW), REASON, NOW)

    assert store.renew_due(NOW) == [OWN]

    after = store.certificate("admin-1")
    assert before is not None
    assert after is not None
    assert store.is_revoked(before.serial_number)
    assert not store.is_revoked(after.serial_number)


def test_a_process_of_this_machine_gets_another_one_before_its_own_is_revoked(
    store: CertificateStore, order: Order
) -> None:
    store.renew(OWN, NOW)
    (first,) = found = store.find("admin-1", NOW)

    store.announce(found, NOW)
    assert store.certificate("admin-1") == x509_of(first, store)
    assert store.announced_until() == NOW + FOLLOWED
    assert store.put_announced(NOW)
    assert store.announced_until() is None
    assert store.revoke(found, REASON, NOW) == [first]

    present = store.certificate("admin-1")
    assert present is not None
    assert not store.is_revoked(present.serial_number)
    assert store.renew_due(NOW) == []
    # What lies in a folder for another machine is not replaced by the way.
    store.announce([store.issue_into(order, NOW)], NOW)
    assert store.announced_until() is None


def x509_of(issued: Issued, store: CertificateStore) -> x509.Certificate | None:
    told = module_certificates.read(store.modules_file)
    return next((each for each in told if each.serial_number == issued.serial), None)


def test_the_edge_hears_of_a_certificate_before_its_module_shows_it(
    store: CertificateStore,
) -> None:
    store.renew(OWN, NOW)
    before, late = store.certificate("admin-1"), NOW + timedelta(days=5)
    assert store.renew_due(late) == []
    assert store.certificate("admin-1") == before
    assert len(module_certificates.read(store.modules_file)) == 2
    assert store.renew_due(late + FOLLOWED / 2) == []

    assert store.renew_due(late + FOLLOWED) == [OWN]

    after = store.certificate("admin-1")
    assert after in module_certificates.read(store.modules_file)
    assert after != before
    assert store.renew_due(late + FOLLOWED) == []


def test_who_has_no_usable_certificate_waits_for_nobody(store: CertificateStore) -> None:
    store.renew(OWN, NOW)
    store.announce(store.find("admin-1", NOW), NOW)
    store.revoke(store.find("admin-1", NOW), REASON, NOW)
    assert module_certificates.read(store.modules_file) == []

    assert store.renew_due(NOW) == [OWN]

    assert module_certificates.read(store.modules_file) == [store.certificate("admin-1")]


def test_one_that_was_announced_and_is_meant_too_is_replaced_as_well(
    store: CertificateStore,
) -> None:
    store.renew(OWN, NOW)
    store.announce(store.find("admin-1", NOW), NOW)
    both = store.find("admin-1", NOW)
    assert len(both) == 2

    store.announce(both, NOW)
    store.put_announced(NOW)
    store.revoke(both, REASON, NOW)

    assert module_certificates.read(store.modules_file) == [store.certificate("admin-1")]


@pytest.mark.parametrize("module", ["storage", "edge", "operator"])
def test_the_edge_takes_none_but_modules_behind_it(store: CertificateStore, module: str) -> None:
    store.renew(PeerIdentity(module, f"{module}-1"), NOW)
    store.renew_due(NOW)
    assert not store.modules_file.exists()


def test_one_serial_can_be_revoked_alone(store: CertificateStore, order: Order) -> None:
    first, second = store.issue_into(order, NOW), store.issue_into(order, NOW)

    assert store.revoke(store.find(first.serial_text, NOW), REASON, NOW) == [first]

    assert not store.is_revoked(second.serial)


def test_what_was_never_issued_cannot_be_revoked(store: CertificateStore) -> None:
    with pytest.raises(StackFailure, match="pki list"):
        store.find("rw-9", NOW)


def test_the_list_is_renewed_before_it_ends(store: CertificateStore) -> None:
    (before,) = store.revocations()
    store.renew_due(NOW + CRL_LIFE / 2)
    assert store.revocations() == [before]

    store.renew_due(NOW + CRL_LIFE * 3 / 4)

    (after,) = store.revocations()
    assert after.next_update_utc == NOW + CRL_LIFE * 7 / 4
    number = x509.CRLNumber
    assert (
        after.extensions.get_extension_for_class(number).value.crl_number
        > before.extensions.get_extension_for_class(number).value.crl_number
    )


def test_the_register_forgets_what_has_ended(store: CertificateStore, order: Order) -> None:
    store.issue_into(order, NOW)
    late = NOW + timedelta(days=31)

    newest = store.issue_into(order, late)

    assert store.issued() == [newest]


def test_the_authority_is_replaced_while_everybody_gets_on(
    store: CertificateStore, order: Order
) -> None:
    store.renew(OWN, NOW)
    store.issue_into(order, NOW)
    former = store.authority(NOW)

    replacement.begin(store, NOW)
    assert phase(store) is Phase.BEGUN
    assert store.authority(NOW).key_id == former.key_id
    assert list(faults(files_in(order.folder), NOW)) == []
    assert len(store.trusted()) == len(store.revocations()) == 2

    replacement.switch(store, NOW)
    assert phase(store) is Phase.SWITCHED
    assert store.authority(NOW).key_id != former.key_id
    assert list(faults(files_in(order.folder), NOW)) == []

    replacement.finish(store, NOW)
    assert phase(store) is Phase.NONE
    assert store.trusted() == [store.authority(NOW).certificate]
    assert len(store.revocations()) == 1
    assert list(faults(files_in(order.folder), NOW)) == []
    assert [path.name for path in store.folder.glob("ca*.key")] == ["ca.key"]


def test_revocations_go_into_the_list_of_who_issued(store: CertificateStore, order: Order) -> None:
    of_former = store.issue_into(order, NOW)
    replacement.begin(store, NOW)
    replacement.switch(store, NOW)

    store.revoke([of_former], REASON, NOW)

    lists = {crl.issuer: crl for crl in store.revocations()}
    signer, former = (each.subject for each in store.trusted())
    assert len(list(lists[signer])) == 0
    assert [entry.serial_number for entry in lists[former]] == [of_former.serial]


def test_nobody_is_left_behind_by_accident(store: CertificateStore, order: Order) -> None:
    store.issue_into(order, NOW)
    replacement.begin(store, NOW)
    order.folder.rename(order.folder.with_name("moved"))
    replacement.switch(store, NOW)

    with pytest.raises(StackFailure, match="spiffe://artstore/storage/rw-2"):
        replacement.finish(store, NOW)

    replacement.finish(store, NOW, force=True)
    assert phase(store) is Phase.NONE


@pytest.mark.parametrize("step", ["switch", "finish"])
def test_steps_come_in_order(store: CertificateStore, step: str) -> None:
    with pytest.raises(StackFailure, match="comes first"):
        getattr(replacement, step)(store, NOW)


@pytest.mark.parametrize("crash_at", range(1, 8))
def test_a_crash_in_a_switch_is_mended_by_repeating_it(
    store: CertificateStore, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    store.renew(OWN, NOW)
    replacement.begin(store, NOW)
    replace, calls = Path.replace, 0

    def crash(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == crash_at:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with contextlib.suppress(KeyboardInterrupt):
            replacement.switch(store, NOW)
    if phase(store) is Phase.BEGUN:
        replacement.switch(store, NOW)
    store.renew_due(NOW)
    assert phase(store) is Phase.SWITCHED

    replacement.finish(store, NOW)

    (only,) = store.trusted()
    certificate = store.certificate("admin-1")
    assert certificate is not None
    certificate.verify_directly_issued_by(only)
    assert len(store.revocations()) == 1


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoAuthority, match="artstore pki init"):
        CertificateStore(tmp_path).trusted()


def test_a_second_authority_is_not_made_over_the_first(store: CertificateStore) -> None:
    with pytest.raises(StackFailure, match="already"):
        store.create(NOW)


def test_a_key_of_another_authority_signs_nothing(store: CertificateStore, tmp_path: Path) -> None:
    other = CertificateStore(tmp_path / "other")
    other.create(NOW)
    (store.folder / "ca.key").write_bytes((other.folder / "ca.key").read_bytes())

    with pytest.raises(StackFailure, match="belong together"):
        store.renew(OWN, NOW)
