"""Settings of the ingester. Variables are `ARTSTORE_` and the field in capitals."""

from pydantic import Field

from artstore.core.model.file import FILE_BYTES_MAX
from artstore.core.settings import ScannerSettings, ValkeyReaderSettings


class IngesterSettings(ValkeyReaderSettings, ScannerSettings):
    port: int = Field(default=8020, ge=0, le=65535)
    admin_url: str
    """Where the registry of elements and the signing keys come from."""
    issuer: str
    """Who must have signed a token: its `iss`."""
    upload_bytes_max: int = Field(default=FILE_BYTES_MAX, ge=0, le=FILE_BYTES_MAX)
    """Larger bodies are refused before they are read."""
    upload_lifetime_s: float = Field(default=86_400.0, gt=0)
    """How long an upload in parts waits for its next part before it is forgotten."""
    body_idle_timeout_s: float = Field(default=60.0, gt=0)
    """Longest silence of a client in the middle of a body; a slow one takes as long as it likes."""
    element_timeout_s: float = Field(default=20.0, gt=0)
    """Longest time an element may take to accept bytes or to answer."""
    registry_refresh_s: float = Field(default=5.0, gt=0)
    element_refresh_s: float = Field(default=2.0, gt=0)
