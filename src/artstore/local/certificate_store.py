"""Certificates as files of one folder, and of others that are filled for other machines.

A certificate that takes another one's place here lies beside it first (`<instance>.next.crt`), as
long as the edge needs to hear of it; see `module_certificates`.

`ca.crt` is what everybody trusts: the authority that signs, and during a replacement another
one. `crl.pem` has a list of each of them. `ca.key` decides which one signs. Each file is replaced
in one step and each operation may be repeated, so a crash leaves nothing to clean up.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from artstore.core.private_files import (
    PRIVATE_FILE,
    private_folder,
    write_private,
    write_private_together,
)
from artstore.core.tls import PeerIdentity, TlsFiles
from artstore.local import module_certificates
from artstore.local.certificate_files import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    CRL_FILE,
    KEY_FILE,
    CertificateFiles,
    certificate_in,
    is_of,
)
from artstore.local.certificate_register import Issued, register_text
from artstore.local.failures import StackFailure
from artstore.local.module_certificates import BEHIND_THE_EDGE
from artstore.local.pki import (
    AUTHORITY_LIFE,
    CLOCK_SKEW,
    RENEWAL_SHARE,
    THIS_MACHINE,
    Authority,
    Leaf,
    Names,
    create_authority,
    issue,
    issuer_key_id,
    key_id,
    key_pem,
    revoked_entry,
    sign_revocations,
)

FOLLOWED: Final = timedelta(seconds=10)
"""Until every process of this machine, the edge included, goes by files that were changed."""


@dataclass(frozen=True)
class Order:
    """A certificate for a process elsewhere."""

    identity: PeerIdentity
    names: Names
    life: timedelta
    folder: Path


class CertificateStore(CertificateFiles):
    # The authority

    def create(self, now: datetime, life: timedelta = AUTHORITY_LIFE) -> Authority:
        """Raises `StackFailure` where there is one already."""
        private_folder(self.folder)
        with self._locked():
            if self.authority_file.exists():
                raise StackFailure(f"{self.folder} has an authority already: artstore pki list")
            return self._create(now, life)

    def authority(self, now: datetime) -> Authority:
        """The one that signs, made at the first call."""
        with self._locked():
            return self._authority(now)

    # Certificates

    def renew(self, identity: PeerIdentity, now: datetime) -> bool:
        """Issue a certificate if there is none, or if it is due. Says whether it did."""
        with self._locked():
            is_renewed = self._renew(identity, now)
            self._tell_edge(now)
            return is_renewed

    def issue_into(self, order: Order, now: datetime) -> Issued:
        """Fill a folder for another machine: certificate, key, authorities, revocations."""
        with self._locked():
            return self._issue_into(order, now)

    def renew_due(
        self, now: datetime, identities: Iterable[PeerIdentity] = ()
    ) -> list[PeerIdentity]:
        """Whatever is due of all that was issued, here and in folders for other machines, and the
        revocations. `identities` get one here even if they have none yet. Says what it renewed.

        What modules show behind the edge is announced first, and in use with a later call.

        What was revoked in a folder stays so: who wants another one there issues it.
        """
        with self._locked():
            self._authority(now)
            self._keep_revocations_fresh(now)
            issued = self.issued()
            own = (each.identity for each in issued if each.folder is None)
            here = dict.fromkeys((*identities, *filter(self._is_here, own)))
            renewed = [each for each in here if self._renew(each, now)]
            for each in self._newest_in_folders():
                if self._is_wanted(each, now):
                    self._issue_into(_again(each), now)
                    renewed.append(each.identity)
            self._tell_edge(now)
            return renewed

    # Revocation

    def announce(self, issued: Iterable[Issued], now: datetime) -> None:
        """Another certificate for each that processes of this machine use; of modules behind the
        edge beside it for now.

        `FOLLOWED` later `put_announced`, and so much later `revoke`: then no request fails.
        """
        replaced = list(issued)
        serials = {each.serial for each in replaced}
        with self._locked():
            for identity in [each.identity for each in replaced if self._is_used_here(each)]:
                announced = self._announced(identity)
                if announced is None or announced.serial_number in serials:
                    self._issue_here(identity, now, self._files_for_new(identity, now))
            self._tell_edge(now)

    def announced_until(self) -> datetime | None:
        """When everybody has heard of what was announced; `None`: nothing is."""
        with self._locked():
            found = [self._announced(each.identity) for each in self.issued()]
            return max((_followed_at(each) for each in found if each is not None), default=None)

    def put_announced(self, now: datetime) -> bool:
        """Whatever was announced, in its place. Says whether anything was."""
        with self._locked():
            identities = dict.fromkeys(each.identity for each in self.issued())
            waiting = [each for each in identities if self._announced(each) is not None]
            for identity in waiting:
                self._put(identity, now)
            return bool(waiting)

    def revoke(
        self, issued: Iterable[Issued], reason: x509.ReasonFlags, now: datetime
    ) -> list[Issued]:
        """Those that were not revoked yet."""
        with self._locked():
            self._authority(now)
            fresh = [each for each in issued if not self.is_revoked(each.serial)]
            for each in fresh:
                self._write_revocations(now, each, reason)
            self._spread()
            self._tell_edge(now)
            return fresh

    # Replacing the authority: see `local.authority_replacement`

    def put_authorities(
        self, bundle: Iterable[x509.Certificate], keys: Mapping[str, bytes | None], now: datetime
    ) -> None:
        """Trust `bundle` from now on. `keys`: files to write first, or to remove afterwards."""
        with self._locked():
            for name, pem in keys.items():
                if pem is not None:
                    write_private(self.folder / name, pem)
            pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in bundle)
            write_private(self.authority_file, pem)
            for name in (name for name, pem in keys.items() if pem is None):
                (self.folder / name).unlink(missing_ok=True)
            self._write_revocations(now)
            self._spread()
            self._tell_edge(now)

    # Inside the lock

    def _authority(self, now: datetime) -> Authority:
        # The certificate is written last: where it is, the key is too.
        if not self.authority_file.exists():
            return self._create(now, AUTHORITY_LIFE)
        signer = self.key("ca.key")
        found = [each for each in self.trusted() if signer and is_of(each, signer)]
        if signer is None or not found:
            raise StackFailure(
                f"{self.folder}/ca.key is missing, or not the key of a certificate in ca.crt. Put "
                f"back the copy of both that belong together"
            )
        if not self.crl_file.exists():
            self._write_revocations(now)
        return Authority(found[0], signer)

    def _create(self, now: datetime, life: timedelta) -> Authority:
        created = create_authority(now, life)
        write_private(self.folder / "ca.key", key_pem(created.key))
        self.crl_file.unlink(missing_ok=True)
        certificate = created.certificate.public_bytes(serialization.Encoding.PEM)
        write_private(self.authority_file, certificate)
        self._write_revocations(now)
        return created

    def _renew(self, identity: PeerIdentity, now: datetime) -> bool:
        authority = self._authority(now)
        files = self.files(identity.instance)
        announced = self._announced(identity)
        if announced is not None and issuer_key_id(announced) == authority.key_id:
            is_time = now >= _followed_at(announced) or not self._is_usable(files, now)
            return is_time and self._put(identity, now)
        if self._is_good(files, authority, now):
            return False
        target = self._files_for_new(identity, now)
        self._issue_here(identity, now, target)
        return target == files

    def _issue_here(self, identity: PeerIdentity, now: datetime, files: TlsFiles) -> None:
        leaf = issue(self._authority(now), identity, now)
        self._keep(leaf, Issued.of(leaf, identity, THIS_MACHINE, None), files, now)

    def _files_for_new(self, identity: PeerIdentity, now: datetime) -> TlsFiles:
        """The edge has to hear of it first, unless nobody gets on with the present one anyway."""
        present = self.files(identity.instance)
        if identity.module in BEHIND_THE_EDGE and self._is_usable(present, now):
            return self._next_files(identity)
        return present

    def _put(self, identity: PeerIdentity, now: datetime) -> bool:
        """A crash leaves it announced, and it is put again."""
        following, files = self._next_files(identity), self.files(identity.instance)
        self._tell_edge(now)
        pair = {
            files.key: following.key.read_bytes(),
            files.certificate: following.certificate.read_bytes(),
        }
        write_private_together(pair)
        following.certificate.unlink()
        following.key.unlink()
        return True

    def _tell_edge(self, now: datetime) -> None:
        shown = [
            certificate
            for identity in dict.fromkeys(each.identity for each in self.issued())
            if identity.module in BEHIND_THE_EDGE
            for files in (self.files(identity.instance), self._next_files(identity))
            if (certificate := certificate_in(files.certificate)) is not None
        ]
        former = module_certificates.read(self.modules_file)
        authorities = {key_id(each) for each in self.trusted()}
        revoked = {entry.serial_number for crl in self.revocations() for entry in crl}

        def is_trusted(certificate: x509.Certificate) -> bool:
            is_ours = issuer_key_id(certificate) in authorities
            return is_ours and certificate.serial_number not in revoked

        text = module_certificates.bundle([*former, *shown], now, is_trusted)
        if text != self._told_edge():
            write_private(self.modules_file, text)

    def _told_edge(self) -> bytes:
        return self.modules_file.read_bytes() if self.modules_file.exists() else b""

    def _keep(self, leaf: Leaf, issued: Issued, files: TlsFiles, now: datetime) -> None:
        register = register_text([*self.issued(), issued], now)
        own = {self._register_file: register.encode()}
        pair = {files.key: leaf.key_pem, files.certificate: leaf.certificate_pem}
        if issued.folder is None:
            write_private_together(own | pair)
        else:
            # Known before it exists: it can be revoked whatever happens next.
            write_private_together(own)
            write_private_together(pair)

    def _issue_into(self, order: Order, now: datetime) -> Issued:
        authority = self._authority(now)
        folder = private_folder(order.folder)
        leaf = issue(authority, order.identity, now, order.life, order.names)
        issued = Issued.of(leaf, order.identity, order.names, folder)
        self._fill(folder)
        pair = TlsFiles(folder / CERTIFICATE_FILE, folder / KEY_FILE, folder / AUTHORITY_FILE)
        self._keep(leaf, issued, pair, now)
        return issued

    def _fill(self, folder: Path) -> None:
        write_private_together(
            {
                folder / AUTHORITY_FILE: self.authority_file.read_bytes(),
                folder / CRL_FILE: self.crl_file.read_bytes(),
            }
        )

    def _spread(self) -> None:
        """Authorities and revocations into the folders for other machines."""
        for each in self._newest_in_folders():
            if each.folder is not None and each.folder.is_dir():
                self._fill(each.folder)

    def _is_wanted(self, issued: Issued, now: datetime) -> bool:
        """Due, and neither revoked nor thrown away."""
        assert issued.folder is not None
        if not issued.folder.is_dir() or self.is_revoked(issued.serial):
            return False
        due = now >= issued.begins + issued.life * RENEWAL_SHARE
        return due or issued.authority != self._authority(now).key_id

    def _keep_revocations_fresh(self, now: datetime) -> None:
        lists = self.revocations()
        if len(lists) != len(self.trusted()) or any(_is_due(each, now) for each in lists):
            self._write_revocations(now)
            self._spread()

    def _write_revocations(
        self,
        now: datetime,
        revoked: Issued | None = None,
        reason: x509.ReasonFlags = x509.ReasonFlags.unspecified,
    ) -> None:
        known = {each.issuer: list(each) for each in self.revocations()}
        texts = []
        for authority in self.authorities():
            entries = known.get(authority.certificate.subject, [])
            if revoked is not None and revoked.authority == authority.key_id:
                entries = [*entries, revoked_entry(revoked.serial, now, reason)]
            crl = sign_revocations(authority, entries, now)
            texts.append(crl.public_bytes(serialization.Encoding.PEM))
        write_private(self.crl_file, b"".join(texts))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: the supervisor renews while somebody types a command."""
        opener = partial(os.open, mode=PRIVATE_FILE)
        with open(self.folder / ".lock", "w", opener=opener) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _followed_at(announced: x509.Certificate) -> datetime:
    return announced.not_valid_before_utc + CLOCK_SKEW + FOLLOWED


def _again(issued: Issued) -> Order:
    assert issued.folder is not None
    return Order(issued.identity, issued.names, issued.life, issued.folder)


def _is_due(crl: x509.CertificateRevocationList, now: datetime) -> bool:
    begins, ends = crl.last_update_utc, crl.next_update_utc
    # The clock went back: the list of its future is no use to anyone until then.
    return ends is None or now < begins or now >= begins + (ends - begins) * RENEWAL_SHARE
