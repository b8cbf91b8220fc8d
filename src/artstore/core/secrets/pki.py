"""A module's certificate, made by the PKI engine and kept in the module's TLS files.

The files are what listeners follow, so a renewed certificate is in use within seconds.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from artstore.core.private_files import write_private, write_private_together
from artstore.core.settings import ConfigurationError, ModuleSettings
from artstore.core.tls import PeerIdentity, server_name

RENEWAL_SHARE: Final = 2 / 3
"""Of its life; then it is replaced."""


class PkiFiles:
    def __init__(self, module: ModuleSettings, service: str) -> None:
        """Raises `ConfigurationError` where the settings name no TLS files."""
        if module.tls is None:
            raise ConfigurationError(
                "the PKI engine needs a place for what it makes: set "
                "ARTSTORE_TLS_CERTIFICATE_FILE, _KEY_FILE and _CA_FILE"
            )
        self._files = module.tls
        self._identity = PeerIdentity(service, module.instance)

    @property
    def common_name(self) -> str:
        return server_name(self._identity.module)

    @property
    def names(self) -> dict[str, str]:
        """What the certificate says beside its common name."""
        return {"uri_sans": self._identity.uri, "format": "pem", "private_key_format": "pkcs8"}

    def is_due(self, now: datetime) -> bool:
        """Missing, not ours, or past two thirds of its life."""
        try:
            pem = self._files.certificate.read_bytes()
            present = x509.load_pem_x509_certificate(pem)
            names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, x509.ExtensionNotFound):
            return True
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        begins, ends = present.not_valid_before_utc, present.not_valid_after_utc
        is_ours = uris == [self._identity.uri] and self._files.key.exists()
        return not is_ours or now >= begins + (ends - begins) * RENEWAL_SHARE

    def write(self, made: Mapping[str, Any]) -> None:
        chain = "\n".join([made["certificate"], *made.get("ca_chain", [])[:-1]]) + "\n"
        root = (made.get("ca_chain") or [made["issuing_ca"]])[-1] + "\n"
        write_private(self._files.ca, root)
        write_private_together(
            {self._files.key: made["private_key"] + "\n", self._files.certificate: chain}
        )
