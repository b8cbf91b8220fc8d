"""An element whose files lie in an S3 bucket."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from obstore.store import S3Store

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.storage.engine.backends.contract import Contract
from artstore.storage.engine.backends.objects import DATA_KEY, ObjectBackend
from artstore.storage.engine.backends.s3_bucket import Feature, S3Bucket, abort_unfinished
from artstore.storage.engine.backends.s3_requests import Credentials, SignedRequests

RETRIES_MAX: Final = 3
"""By the client library, within the time of one request. The engine does the rest."""

_BULK_TIMES: Final = 8
"""A part of a large content has so many times the bytes of any other request, about."""


@dataclass(frozen=True, kw_only=True)
class S3Options:
    endpoint: str
    """Such as `https://s3.eu-central-1.amazonaws.com`; keys follow the bucket in the path."""
    bucket: str
    prefix: str
    region: str
    credentials: Credentials
    capacity_bytes: int
    concurrency: int
    timeout_s: float
    required: tuple[Feature, ...] = ()


class S3Guard:
    """Implements `StoreGuard`."""

    def __init__(self, bucket: S3Bucket, contract: Contract) -> None:
        self._bucket = bucket
        self._contract = contract

    def check_contract(self) -> None:
        self._contract.check()

    def tidy(self) -> None:
        aborted = abort_unfinished(self._bucket, DATA_KEY)
        if aborted:
            get_logger().info("unfinished uploads were removed", uploads=aborted)


def s3_store(options: S3Options) -> S3Store:
    return S3Store(
        options.bucket,
        prefix=options.prefix or None,
        config={
            "endpoint": options.endpoint,
            "region": options.region,
            "access_key_id": options.credentials.access_key,
            "secret_access_key": options.credentials.secret_key,
            "checksum_algorithm": "sha256",
            "conditional_put": "etag",
        },
        client_options={
            "allow_http": options.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=min(5.0, options.timeout_s)),
            "timeout": timedelta(seconds=options.timeout_s),
        },
        retry_config={
            "max_retries": RETRIES_MAX,
            "retry_timeout": timedelta(seconds=options.timeout_s),
        },
    )


def s3_bucket(options: S3Options, clock: Clock) -> S3Bucket:
    requests = SignedRequests(
        endpoint=options.endpoint,
        bucket=options.bucket,
        region=options.region,
        credentials=options.credentials,
        timeout_s=options.timeout_s,
        clock=clock,
    )
    return S3Bucket(s3_store(options), requests, options.prefix)


def s3_backend(options: S3Options, clock: Clock) -> ObjectBackend:
    bucket = s3_bucket(options, clock)
    return ObjectBackend(
        s3_store(options),
        S3Guard(bucket, Contract(bucket, clock, options.required)),
        concurrency=options.concurrency,
        capacity_bytes=options.capacity_bytes,
        bulk=s3_store(replace(options, timeout_s=options.timeout_s * _BULK_TIMES)),
    )
