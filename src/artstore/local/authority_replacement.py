"""Replacing the authority, in three steps between which every process may be late:

1. `begin`: another authority is made and trusted beside the one that signs;
2. `switch`: it signs, and every certificate is renewed by it;
3. `finish`: the former one is trusted no more.

Somebody who has not heard of a step yet still gets on with those who have. The keys say how far
it got, so a crash in any step is mended by doing that step again.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from artstore.local.certificate_register import Issued
from artstore.local.certificate_store import CertificateStore
from artstore.local.failures import StackFailure
from artstore.local.pki import Authority, create_authority, key_pem

SIGNER_KEY: Final = "ca.key"
NEXT_KEY: Final = "ca-next.key"
FORMER_KEY: Final = "ca-former.key"


class Phase(StrEnum):
    NONE = "none"
    BEGUN = "begun"
    SWITCHED = "switched"


def phase(store: CertificateStore) -> Phase:
    signer = store.key(SIGNER_KEY)
    if signer is None:
        return Phase.NONE
    if _differs(store, NEXT_KEY):
        return Phase.BEGUN
    return Phase.SWITCHED if _differs(store, FORMER_KEY) else Phase.NONE


def begin(store: CertificateStore, now: datetime) -> Authority:
    """Raises `StackFailure` where one is under way."""
    _expect(store, Phase.NONE, "a replacement is under way; artstore pki list shows it")
    current, following = store.authority(now), create_authority(now)
    bundle = [current.certificate, following.certificate]
    store.put_authorities(bundle, {NEXT_KEY: key_pem(following.key)}, now)
    return following


def switch(store: CertificateStore, now: datetime) -> None:
    """Raises `StackFailure` where none was begun."""
    _expect(store, Phase.BEGUN, "begin comes first: artstore pki replace begin")
    current = store.authority(now)
    other = _other(store, current)
    keys = {FORMER_KEY: key_pem(current.key), SIGNER_KEY: key_pem(other.key), NEXT_KEY: None}
    store.put_authorities([other.certificate, current.certificate], keys, now)
    store.renew_due(now)


def finish(store: CertificateStore, now: datetime, *, force: bool = False) -> None:
    """
    Raises:
        StackFailure: It did not get so far, or some still live on the former authority.
    """
    _expect(store, Phase.SWITCHED, "switch comes first: artstore pki replace switch")
    signer = store.authority(now)
    store.put_announced(now)
    behind = [each.identity.uri for each in _in_use(store, now) if each.authority != signer.key_id]
    if behind and not force:
        raise StackFailure(
            f"{', '.join(behind)}: signed by the former authority. artstore pki renew makes them "
            f"anew; --force leaves them behind"
        )
    store.put_authorities([signer.certificate], {FORMER_KEY: None, NEXT_KEY: None}, now)


def _in_use(store: CertificateStore, now: datetime) -> list[Issued]:
    """The newest for each place, as far as it counts."""
    newest = {(each.identity, each.folder): each for each in store.issued()}
    return [
        each for each in newest.values() if each.ends > now and not store.is_revoked(each.serial)
    ]


def _other(store: CertificateStore, current: Authority) -> Authority:
    found = [each for each in store.authorities() if each.key_id != current.key_id]
    if not found:
        raise StackFailure(f"{store.authority_file} lacks the next authority; begin again")
    return found[0]


def _differs(store: CertificateStore, name: str) -> bool:
    """A step that a crash cut short leaves a copy of the key that signs."""
    key, signer = store.key(name), store.key(SIGNER_KEY)
    return key is not None and signer is not None and key.public_key() != signer.public_key()


def _expect(store: CertificateStore, wanted: Phase, otherwise: str) -> None:
    store.trusted()
    if phase(store) is not wanted:
        raise StackFailure(otherwise)
