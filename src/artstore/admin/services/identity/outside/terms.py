"""What was agreed with the outside identity provider, as the settings say it."""

import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore.admin.settings import AdminSettings
from artstore.core.model.account import UserRole
from artstore.core.secrets.chain import Secrets
from artstore.core.settings import ConfigurationError

CLIENT_SECRET: Final = "oidc_client_secret"  # noqa: S105  its name
CALLBACK_PATH: Final = "/api/v1/admin-auth/oidc/callback"
BY_POWER: Final = (UserRole.SUPER_ADMIN, UserRole.ADMIN, UserRole.AUDITOR, UserRole.READONLY)


@dataclass(frozen=True)
class Terms:
    issuer: str
    client_id: str
    client_secret: Callable[[], str]
    """The one that is right now: it may be replaced."""
    redirect_uri: str
    scope: str
    groups_claim: str
    roles: Mapping[str, UserRole]
    """By group."""
    second_factor_values: Collection[str]
    """Of `amr` or `acr`: with one of them the provider has asked for a second factor."""
    ca_file: Path | None
    """The only authority its certificate may come from; `None`: those of the system."""

    def role_of(self, groups: Iterable[str]) -> UserRole | None:
        """The most powerful role of any of these groups."""
        found = {self.roles[group] for group in groups if group in self.roles}
        return next((role for role in BY_POWER if role in found), None)

    def trusted_context(self) -> ssl.SSLContext:
        """
        Raises:
            ConfigurationError: The file of the authority cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ConfigurationError(f"{self.ca_file}: not a certificate ({error})") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def terms_of(settings: AdminSettings, secrets: Secrets) -> Terms | None:
    """`None`: no outside identity provider is set up.

    Raises:
        ConfigurationError: The client secret cannot be read.
    """
    client_id = settings.oidc_client_id
    if settings.oidc_issuer is None or client_id is None:
        return None
    secrets.read(CLIENT_SECRET)
    return Terms(
        issuer=settings.oidc_issuer,
        client_id=client_id,
        client_secret=lambda: secrets.read(CLIENT_SECRET),
        redirect_uri=settings.issuer + CALLBACK_PATH,
        scope=settings.oidc_scope,
        groups_claim=settings.oidc_groups_claim,
        roles=settings.oidc_roles,
        second_factor_values=settings.oidc_second_factor_values,
        ca_file=settings.oidc_ca_file,
    )
