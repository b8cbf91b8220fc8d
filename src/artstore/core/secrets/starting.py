"""How a module begins: its settings, its secrets, and all reasons not to begin, at once."""

import sys
from collections.abc import Iterator
from typing import Final, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from artstore.core.clock import Clock, SystemClock
from artstore.core.model.findings import told
from artstore.core.secrets.chain import Secrets, SecretSource
from artstore.core.secrets.openbao_settings import OpenBaoSettings
from artstore.core.secrets.sources import EnvironmentSecrets, FileSecrets
from artstore.core.secrets.strength import weakness
from artstore.core.settings import ConfigurationError, ModuleSettings

_NAMES: Final = frozenset({"s3_access_key"})
"""Kept with a secret, and no secret itself."""

_RECIPE: Final = "openssl rand -base64 32 | tr '+/' '-_' | tr -d '='"

Kind = TypeVar("Kind", bound=ModuleSettings)
AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def start(kind: type[Kind], service: str) -> tuple[Kind, Secrets]:
    """
    Raises:
        ConfigurationError: Something is wrong or unsafe. The message names everything that is,
            the variable or file, and what to do.
    """
    settings = _read(kind)
    openbao = _read(OpenBaoSettings)
    faults = list(settings.faults()) if settings.profile == "production" else []
    faults += openbao.faults() if settings.profile == "production" else []
    _refuse(service, faults if openbao.url else [])  # Before anything is sent to it.
    secrets = open_secrets(settings, openbao, service, SystemClock())
    try:
        _refuse(service, [*faults, *_unfit(settings, secrets)])
    except ConfigurationError:
        secrets.close()
        raise
    return settings, secrets


def open_secrets(
    settings: ModuleSettings, openbao: OpenBaoSettings, service: str, clock: Clock
) -> Secrets:
    """
    Raises:
        ConfigurationError: OpenBao is configured and refuses us, or is away.
    """
    sources: list[SecretSource] = [FileSecrets(settings.secret_files(), settings.secrets_folder)]
    if openbao.url:
        # Imported late: nobody else needs its client, which takes some 20 MB.
        from artstore.core.secrets.openbao import OpenBao  # noqa: PLC0415

        sources.append(OpenBao.open(openbao, settings, service, clock))
    if settings.profile == "development":
        sources.append(EnvironmentSecrets(clock.now()))
    return Secrets(sources, clock)


def end_with(service: str, error: Exception) -> NoReturn:
    """What people read when a module does not start."""
    print(f"artstore {service}: {error}", file=sys.stderr)  # noqa: T201
    sys.exit(error.exit_code if isinstance(error, ConfigurationError) else 1)


def _read(kind: type[AnySettings]) -> AnySettings:
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        # Without what was given: it may be a secret in the wrong place.
        found = [_told(prefix, part["loc"], told(part)) for part in error.errors()]
        raise ConfigurationError(_listed("the settings are not right", found)) from None


def _told(prefix: str, place: tuple[int | str, ...], message: str) -> str:
    return f"{prefix}{str(place[0]).upper()}: {message}" if place else message


def _unfit(settings: ModuleSettings, secrets: Secrets) -> Iterator[str]:
    for name in settings.secret_names():
        try:
            password = secrets.login(name).password
        except ConfigurationError as error:
            yield str(error)
            continue
        weak = None if name in _NAMES else weakness(password)
        if weak and settings.profile == "production":
            yield f"the secret {name} is weak: {weak}. Make a random one: {_RECIPE}"


def _refuse(service: str, faults: list[str]) -> None:
    if faults:
        raise ConfigurationError(_listed(f"{service} does not start like this", faults))


def _listed(title: str, lines: list[str]) -> str:
    count = f"{len(lines)} faults" if len(lines) > 1 else "a fault"
    return "\n".join([f"{title}; {count}:", *(f"  - {line}" for line in lines)])
