"""What people prove beside their password: one-time passwords, passkeys, recovery codes."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from artstore.admin.model import Passkey, User
from artstore.admin.repository import second_factors as repository
from artstore.admin.repository.second_factors import StoredPasskey
from artstore.admin.services.identity import one_time_codes as codes
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import Clock
from artstore.core.errors import InvalidCredentials, NameTaken, NotReady

CHALLENGE_LIFETIME: Final = timedelta(minutes=5)
PASSKEYS_MAX: Final = 20
_REGISTER: Final = "register"
_PROVE: Final = "prove"
# What a person's own device or library made of it, none of it ours.
_MALFORMED: Final = (WebAuthnException, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Proof:
    """As a client sends it: a code, or the answer of a passkey to a challenge of ours."""

    code: str | None = None
    challenge_id: UUID | None = None
    passkey: dict[str, Any] | None = None


@dataclass(frozen=True)
class Challenge:
    challenge_id: UUID
    options: dict[str, Any]
    """For `navigator.credentials`, in the JSON form of WebAuthn level 3."""


class SecondFactors:
    def __init__(self, seal: Seal, origin: str, clock: Clock) -> None:
        """`origin`: of the pages that may use passkeys; the public address of the edge."""
        self._seal = seal
        self._origin = origin
        self._site = urlsplit(origin).hostname or ""
        self._clock = clock

    async def has_any(self, session: AsyncSession, user: User) -> bool:
        return await repository.has_any(session, user.user_id)

    async def prove(self, session: AsyncSession, user: User, proof: Proof) -> str:
        """Which method it was: `otp`, `rcv` or `hwk`. Each code and challenge counts once.

        Raises:
            InvalidCredentials: It proves nothing.
        """
        if proof.code is not None:
            return await self._prove_by_code(session, user, proof.code)
        if proof.passkey is not None and proof.challenge_id is not None:
            await self._prove_by_passkey(session, user, proof.challenge_id, proof.passkey)
            return "hwk"
        raise InvalidCredentials

    async def _prove_by_code(self, session: AsyncSession, user: User, code: str) -> str:
        code = code.strip()
        if codes.is_one_time_code(code):
            sealed = await repository.one_time_secret(session, user.user_id, confirmed=True)
            if sealed is not None and await self._use(session, user, sealed, code):
                return "otp"
        elif await repository.use_code(
            session, user.user_id, codes.recovery_hash(code), self._clock.now()
        ):
            return "rcv"
        raise InvalidCredentials

    async def _use(self, session: AsyncSession, user: User, sealed: bytes, code: str) -> bool:
        secret = self._seal.open(sealed, sealed_for(user.user_id))
        step = codes.step_of(secret, code, self._clock.now())
        return step is not None and await repository.use_step(session, user.user_id, step)

    # --- setting them up ---------------------------------------------------------------

    async def offer_one_time_password(self, session: AsyncSession, user: User) -> tuple[str, str]:
        """A new secret and its URI for an app; good when `confirm_one_time_password` was called.

        Raises:
            NameTaken: There is a confirmed one; it has to be removed first.
        """
        secret = codes.new_secret()
        sealed = self._seal.seal(secret, sealed_for(user.user_id))
        if not await repository.offer_one_time_password(
            session, user.user_id, sealed, self._clock.now()
        ):
            raise NameTaken("there is a one-time password already")
        return codes.shown_secret(secret), codes.setup_uri(secret, user.username)

    async def confirm_one_time_password(self, session: AsyncSession, user: User, code: str) -> None:
        """
        Raises:
            NotReady: None was offered.
            InvalidCredentials: Wrong code.
        """
        sealed = await repository.one_time_secret(session, user.user_id, confirmed=False)
        if sealed is None:
            raise NotReady("ask for a one-time password first")
        if not codes.is_one_time_code(code) or not await self._use(session, user, sealed, code):
            raise InvalidCredentials

    async def remove_one_time_password(self, session: AsyncSession, user: User) -> None:
        await repository.remove_one_time_password(session, user.user_id)

    async def new_recovery_codes(self, session: AsyncSession, user: User) -> list[str]:
        """Those before are worth nothing."""
        made = codes.new_recovery_codes()
        await repository.replace_codes(
            session, user.user_id, [codes.recovery_hash(code) for code in made]
        )
        return made

    async def remove_all(self, session: AsyncSession, user: User) -> None:
        await repository.remove_all(session, user.user_id)

    # --- passkeys ----------------------------------------------------------------------

    async def passkeys(self, session: AsyncSession, user: User) -> list[Passkey]:
        return [key.shown for key in await repository.passkeys_of(session, user.user_id)]

    async def registration(self, session: AsyncSession, user: User) -> Challenge:
        known = await repository.passkeys_of(session, user.user_id)
        if len(known) >= PASSKEYS_MAX:
            raise NameTaken(f"a person may have {PASSKEYS_MAX} passkeys")
        options = generate_registration_options(
            rp_id=self._site,
            rp_name="ArtStore",
            user_id=user.user_id.bytes,
            user_name=user.username,
            exclude_credentials=[PublicKeyCredentialDescriptor(key.credential_id) for key in known],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return await self._challenge(session, user, _REGISTER, options)

    async def register(self, session: AsyncSession, user: User, proof: Proof, name: str) -> Passkey:
        """
        Raises:
            InvalidCredentials: It answers no challenge of ours, or not as it should.
            NameTaken: This authenticator is registered already.
        """
        challenge = await self._take(session, user, _REGISTER, proof.challenge_id)
        try:
            made = verify_registration_response(
                credential=proof.passkey or {},
                expected_challenge=challenge,
                expected_rp_id=self._site,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except _MALFORMED as error:
            raise InvalidCredentials from error
        shown = Passkey(
            passkey_id=made.credential_id.hex(), name=name, created_at=self._clock.now()
        )
        key = StoredPasskey(shown, made.credential_id, made.credential_public_key, made.sign_count)
        if not await repository.add_passkey(session, user.user_id, key):
            raise NameTaken("this passkey is registered already")
        return shown

    async def challenge(self, session: AsyncSession, user: User) -> Challenge:
        """For `prove` by passkey."""
        known = await repository.passkeys_of(session, user.user_id)
        options = generate_authentication_options(
            rp_id=self._site,
            allow_credentials=[PublicKeyCredentialDescriptor(key.credential_id) for key in known],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return await self._challenge(session, user, _PROVE, options)

    async def remove_passkey(self, session: AsyncSession, user: User, passkey_id: str) -> bool:
        return await repository.remove_passkey(session, user.user_id, bytes.fromhex(passkey_id))

    async def _prove_by_passkey(
        self, session: AsyncSession, user: User, challenge_id: UUID, answer: dict[str, Any]
    ) -> None:
        challenge = await self._take(session, user, _PROVE, challenge_id)
        known = {
            key.shown.passkey_id: key for key in await repository.passkeys_of(session, user.user_id)
        }
        try:
            key = known[_raw_id(answer).hex()]
            proven = verify_authentication_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=self._site,
                expected_origin=self._origin,
                credential_public_key=key.public_key,
                credential_current_sign_count=key.sign_count,
                require_user_verification=True,
            )
        except _MALFORMED as error:
            raise InvalidCredentials from error
        await repository.use_passkey(
            session, key.credential_id, proven.new_sign_count, self._clock.now()
        )

    async def _challenge(
        self, session: AsyncSession, user: User, purpose: str, options: Any
    ) -> Challenge:
        now, challenge_id = self._clock.now(), uuid4()
        await repository.add_challenge(
            session,
            user.user_id,
            purpose,
            options.challenge,
            challenge_id=challenge_id,
            now=now,
            ends_at=now + CHALLENGE_LIFETIME,
        )
        return Challenge(challenge_id, json.loads(options_to_json(options)))

    async def _take(
        self, session: AsyncSession, user: User, purpose: str, challenge_id: UUID | None
    ) -> bytes:
        taken = None
        if challenge_id is not None:
            taken = await repository.take_challenge(
                session, challenge_id, user.user_id, purpose, self._clock.now()
            )
        if taken is None:
            raise InvalidCredentials
        return taken


def _raw_id(answer: dict[str, Any]) -> bytes:
    return base64url_to_bytes(answer["rawId"])


def sealed_for(user_id: UUID) -> str:
    return f"one-time password {user_id}"
