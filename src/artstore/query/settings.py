"""Settings of the query module. Variables are `ARTSTORE_` and the field in capitals."""

from pydantic import Field

from artstore.core.settings import DatabaseSettings, ValkeyReaderSettings


class QuerySettings(DatabaseSettings, ValkeyReaderSettings):
    port: int = Field(default=8030, ge=0, le=65535)
    database_pool_size: int = Field(default=10, ge=1)
    admin_url: str
    """Where the signing keys come from."""
    issuer: str
    """Who must have signed a token: its `iss`."""
    download_idle_timeout_s: float = Field(default=120.0, gt=0)
    """Longest time a client may take to accept a chunk; a slow one takes as long as it likes."""

    def secret_names(self) -> tuple[str, ...]:
        return ("database_password", *super().secret_names())
