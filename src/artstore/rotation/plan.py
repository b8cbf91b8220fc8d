"""A file that says what to rotate, for installations that `artstore up` does not run."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import hvac
import requests
from hvac.exceptions import VaultError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artstore.client.settings import load_profile
from artstore.client.store import ArtStore
from artstore.core.secrets.chain import Login, LoginSource
from artstore.core.settings import read_secret
from artstore.rotation.accounts import AccountSecret
from artstore.rotation.installation import Installation
from artstore.rotation.key_encryption import KeyEncryptionKey
from artstore.rotation.postgresql import PostgresLogin
from artstore.rotation.procedure import Credential, RotationFailed
from artstore.rotation.store import FolderStore, OpenBaoStore, SecretStore
from artstore.rotation.valkey import ValkeyUser


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Keeper(_Part):
    """Who may change the others."""

    username: str
    password_file: Path

    def login(self) -> LoginSource:
        return lambda: Login(self.username, read_secret(self.password_file))


class FolderPlan(_Part):
    folder: Path
    """Mounted by the modules, on this machine or others."""


class OpenBaoPlan(_Part):
    """Reads and writes the paths of the modules; see `OpenBaoStore` for names."""

    openbao: str
    ca_file: Path | None = None
    role_id: str
    secret_id_file: Path
    kv_mount: str = "secret"
    refresh_s: float = 60.0
    """`ARTSTORE_OPENBAO_REFRESH_S` of the modules."""


class PostgresPlan(_Part):
    kind: Literal["postgresql"]
    name: str
    roles: tuple[str, str]
    url: str
    keeper: Keeper
    settings: dict[str, str] = {}


class ValkeyPlan(_Part):
    kind: Literal["valkey"]
    name: str
    username: str
    url: str
    keeper: Keeper


class AccountPlan(_Part):
    kind: Literal["account"]
    name: str
    client_id: str


class EncryptionPlan(_Part):
    kind: Literal["encryption"]
    name: str


CredentialPlan = Annotated[
    PostgresPlan | ValkeyPlan | AccountPlan | EncryptionPlan, Field(discriminator="kind")
]


class Plan(_Part):
    state: Path
    """Where rotations under way are written down; private, on a lasting disk."""
    profile: Path
    """Folder with the `profile.json` of an account that may change accounts."""
    store: FolderPlan | OpenBaoPlan
    credentials: tuple[CredentialPlan, ...]
    drain_max_s: int = Field(default=600, ge=1)

    def installation(self, *, leaked: bool) -> Installation:
        store = _store(self.store)
        return Installation(
            [self._credential(each, store, leaked=leaked) for each in self.credentials],
            self.state,
            lambda: self._connect(None),
            timedelta(seconds=self.drain_max_s),
        )

    def _credential(self, plan: CredentialPlan, store: SecretStore, *, leaked: bool) -> Credential:
        match plan:
            case PostgresPlan():
                keeper = plan.keeper.login()
                return PostgresLogin(
                    plan.name, plan.roles, plan.url, keeper, store, dict(plan.settings)
                )
            case ValkeyPlan():
                keeper = plan.keeper.login()
                return ValkeyUser(plan.name, plan.username, plan.url, keeper, store)
            case AccountPlan():
                return AccountSecret(plan.name, plan.client_id, self._connect, store, leaked)
            case EncryptionPlan():
                return KeyEncryptionKey(plan.name, lambda: self._connect(None), store, leaked)

    def _connect(self, secret: str | None) -> ArtStore:
        profile = load_profile(self.profile)
        return ArtStore.from_profile(replace(profile, client_secret=secret) if secret else profile)


def read_plan(path: Path) -> Plan:
    """Raises `RotationFailed`."""
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RotationFailed(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        told = "; ".join(f"{_place(part['loc'])}: {part['msg']}" for part in error.errors())
        raise RotationFailed(f"{path} is not a plan: {told}") from None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the document"


def _store(plan: FolderPlan | OpenBaoPlan) -> SecretStore:
    if isinstance(plan, FolderPlan):
        return FolderStore(plan.folder)
    client = hvac.Client(plan.openbao, verify=str(plan.ca_file) if plan.ca_file else True)
    try:
        client.auth.approle.login(plan.role_id, read_secret(plan.secret_id_file))
    except (VaultError, requests.RequestException) as error:
        reason = type(error).__name__
        raise RotationFailed(f"OpenBao at {plan.openbao} lets nobody in: {reason}") from None
    return OpenBaoStore(client, plan.kv_mount, plan.refresh_s)
