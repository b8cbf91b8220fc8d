"""Where the files of the audit log lie: a folder, a bucket, or one of them and a second place
for what never changes again.
"""

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from obstore.store import S3Store

from artstore.admin.settings import AdminSettings
from artstore.core.secrets.chain import Secrets
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.bucket import BucketStore
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.split import SplitStore
from artstore.core.tlog.store import WritableStore

REQUEST_TIMEOUT: Final = timedelta(seconds=20)
RETRIES_MAX: Final = 4
"""Then the log stops, and is opened again with growing delays. Events wait in the database."""


def log_store(settings: AdminSettings, secrets: Secrets) -> WritableStore:
    """To read from. Raises `ConfigurationError` when the credentials cannot be read."""
    changing: WritableStore
    if settings.audit_bucket is not None:
        changing = _bucket(settings, secrets, settings.audit_bucket)
    else:
        changing = FolderStore(settings.audit_folder)
    if settings.audit_worm_bucket is None:
        return changing
    return SplitStore(changing, _bucket(settings, secrets, settings.audit_worm_bucket))


def made_log_store(settings: AdminSettings, secrets: Secrets) -> WritableStore:
    """To write to; the folder is made. Blocking. Raises `OSError` too."""
    if settings.audit_bucket is None:
        FolderStore.at(settings.audit_folder)
    return log_store(settings, secrets)


def _bucket(settings: AdminSettings, secrets: Secrets, url: str) -> BucketStore:
    place = urlsplit(url)
    access_key, secret_key = _credentials(secrets)
    endpoint = settings.audit_s3_endpoint
    return BucketStore(
        S3Store(
            place.netloc,
            prefix=place.path.strip("/") or None,
            endpoint=endpoint,
            region=settings.audit_s3_region,
            access_key_id=access_key,
            secret_access_key=secret_key,
            checksum_algorithm="SHA256",
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http:")),
                "timeout": REQUEST_TIMEOUT,
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": 2 * REQUEST_TIMEOUT},
        )
    )


def _credentials(secrets: Secrets) -> tuple[str, str]:
    login = secrets.login("audit_s3_credentials")
    if login.username is None:
        raise ConfigurationError(
            "audit_s3_credentials: expected an access key id and below it a secret key"
        )
    return login.username, login.password
