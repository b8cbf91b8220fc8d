"""Secrets in OpenBao: KV v2, logins of the database engine, certificates of the PKI engine.

A thread of its own asks; everybody else reads from memory. When OpenBao is away, sealed, slow or
refuses us, the last good values stay, and how long they are good for is a metric. Leases and the
token are renewed at half of their time; what cannot be renewed any more is replaced, and the one
before stays good until its own end.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultDown, VaultError

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import SECRET_EXPIRY, SECRET_SOURCE_UP
from artstore.core.secrets.chain import Secret
from artstore.core.secrets.openbao_settings import OpenBaoSettings
from artstore.core.secrets.pki import PkiFiles
from artstore.core.settings import ConfigurationError, ModuleSettings, read_secret

DATABASE_SECRET: Final = "database_password"  # noqa: S105  the name of a secret
SOURCE: Final = "openbao"
RETRY_S: Final = 5.0
"""After a failure; there is time, since half of every lease is left."""
HALF: Final = 0.5

Answer = dict[str, Any]


class OpenBaoAway(ConfigurationError):
    """It does not answer, or is sealed: starting again later may help."""

    exit_code = 75
    """`EX_TEMPFAIL` of sysexits(3)."""


@dataclass(frozen=True)
class Lease:
    """Something that ends by itself: the token, or a login of the database engine."""

    lease_id: str
    length: timedelta
    began_at: datetime
    renewable: bool

    @property
    def ends_at(self) -> datetime:
        return self.began_at + self.length

    def is_due(self, now: datetime) -> bool:
        return now - self.began_at >= self.length * HALF


class OpenBao:
    def __init__(
        self, settings: OpenBaoSettings, module: ModuleSettings, service: str, clock: Clock
    ) -> None:
        self._settings = settings
        self._path = settings.kv_path or f"artstore/{service}"
        self._clock = clock
        self._session = requests.Session()
        self._client = hvac.Client(
            url=settings.url,
            verify=str(settings.ca_file) if settings.ca_file else True,
            timeout=settings.timeout_s,
            session=self._session,
        )
        self._secret_id: str | None = None
        self._token: Lease | None = None
        self._login: Lease | None = None
        self._pki = PkiFiles(module, service) if settings.pki_role else None
        self._values: dict[str, Secret] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=SOURCE, daemon=True)

    @classmethod
    def open(
        cls, settings: OpenBaoSettings, module: ModuleSettings, service: str, clock: Clock
    ) -> Self:
        """Blocking. Everything is there when it returns, and stays fresh until `close`.

        Raises:
            OpenBaoAway: It does not answer or is sealed.
            ConfigurationError: It refuses us, or has nothing for us.
        """
        made = cls(settings, module, service, clock)
        made.refresh()
        made._thread.start()
        return made

    def find(self, name: str) -> Secret | None:
        return self._values.get(name)

    def place(self, name: str) -> str:
        return f"OpenBao at {self._settings.kv_mount}/{self._path}, field {name}"

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._settings.timeout_s)
        self._session.close()

    def refresh(self) -> None:
        """Whatever is new or due. Blocking.

        Raises:
            OpenBaoAway, ConfigurationError: As `open`; what was known stays known.
        """
        try:
            self._renew_token()
            try:
                self._fetch()
            except Forbidden:
                # The token was revoked, or OpenBao lost it: begin anew, once.
                self._log_in()
                self._fetch()
        except (VaultError, requests.RequestException) as error:
            SECRET_SOURCE_UP.labels(SOURCE).set(0)
            raise self._explained(error) from None
        SECRET_SOURCE_UP.labels(SOURCE).set(1)

    def _run(self) -> None:
        is_well = True
        while not self._stop.wait(self._settings.refresh_s if is_well else RETRY_S):
            try:
                self.refresh()
            except ConfigurationError as error:
                if is_well:
                    get_logger().warning("secrets not refreshed, kept in memory", cause=str(error))
                is_well = False
            except Exception as error:  # noqa: BLE001  the edge of the thread: log it, go on
                SECRET_SOURCE_UP.labels(SOURCE).set(0)
                get_logger().error("secrets not refreshed, kept in memory", exc_info=error)
                is_well = False
            else:
                if not is_well:
                    get_logger().info("secrets are fresh again")
                is_well = True

    def _fetch(self) -> None:
        values = self._from_kv()
        if self._settings.database_role:
            values[DATABASE_SECRET] = self._database_login(self._settings.database_role)
        self._values = values
        if self._pki is not None and self._pki.is_due(self._clock.now()):
            self._pki.write(self._certificate())

    def _from_kv(self) -> dict[str, Secret]:
        try:
            answer = self._client.secrets.kv.v2.read_secret_version(
                self._path, mount_point=self._settings.kv_mount, raise_on_deleted_version=True
            )
        except InvalidPath:
            # Nothing there; the database engine may be all that is used.
            return {}
        data: Answer = answer["data"]
        changed_at = datetime.fromisoformat(data["metadata"]["created_time"])
        return {
            name: Secret(str(text).strip(), changed_at)
            for name, text in data["data"].items()
            if str(text).strip()
        }

    def _database_login(self, role: str) -> Secret:
        now, lease = self._clock.now(), self._login
        known = self._values.get(DATABASE_SECRET)
        if lease is not None and known is not None:
            if not lease.is_due(now):
                return known
            renewed = self._renewed(lease)
            if renewed is not None:
                self._keep_login(renewed)
                return known
        answer: Answer = self._client.secrets.database.generate_credentials(
            role, mount_point=self._settings.database_mount
        )
        self._keep_login(self._lease(answer))
        login = answer["data"]
        return Secret(f"{login['username']}\n{login['password']}", now)

    def _renewed(self, lease: Lease) -> Lease | None:
        """The lease with its full length again; `None` where its last end is near."""
        if not lease.renewable:
            return None
        try:
            answer: Answer = self._client.sys.renew_lease(lease.lease_id)
        except (InvalidRequest, InvalidPath):
            return None  # It ended, or somebody revoked it.
        renewed = self._lease(answer)
        return renewed if renewed.length >= lease.length * 0.9 else None

    def _keep_login(self, lease: Lease) -> None:
        self._login = lease
        SECRET_EXPIRY.labels(DATABASE_SECRET).set(lease.ends_at.timestamp())

    def _renew_token(self) -> None:
        now, token = self._clock.now(), self._token
        if token is not None and not token.is_due(now):
            return
        if token is not None and token.renewable:
            try:
                answer: Answer = self._client.auth.token.renew_self()
            except (Forbidden, InvalidRequest):
                pass  # It ended while OpenBao or we were away.
            else:
                renewed = self._lease(answer["auth"])
                if renewed.length >= token.length * 0.9:
                    self._keep_token(renewed)
                    return
        self._log_in()

    def _log_in(self) -> None:
        answer: Answer = self._client.auth.approle.login(
            self._settings.role_id, self._take_secret_id(), use_token=False
        )
        self._client.token = answer["auth"]["client_token"]
        self._keep_token(self._lease(answer["auth"]))

    def _keep_token(self, lease: Lease) -> None:
        self._token = lease
        if lease.length:
            SECRET_EXPIRY.labels("openbao_token").set(lease.ends_at.timestamp())

    def _take_secret_id(self) -> str:
        assert self._settings.secret_id_file is not None
        if not self._settings.secret_id_wrapped:
            return read_secret(self._settings.secret_id_file)
        if self._secret_id is None:
            self._client.token = read_secret(self._settings.secret_id_file)
            try:
                answer: Answer = self._client.sys.unwrap()
            except (InvalidRequest, Forbidden):
                raise ConfigurationError(
                    f"{self._settings.secret_id_file}: the wrapping token was used already or "
                    "ended. If nobody of yours used it, destroy the secret id that it held. "
                    "Wrap a new one for each start."
                ) from None
            self._secret_id = str(answer["data"]["secret_id"])
        return self._secret_id

    def _certificate(self) -> Answer:
        assert self._pki is not None
        answer: Answer = self._client.secrets.pki.generate_certificate(
            self._settings.pki_role,
            self._pki.common_name,
            extra_params=self._pki.names,
            mount_point=self._settings.pki_mount,
        )
        data: Answer = answer["data"]
        return data

    def _lease(self, answer: Answer) -> Lease:
        return Lease(
            lease_id=answer.get("lease_id", ""),
            length=timedelta(seconds=answer["lease_duration"]),
            began_at=self._clock.now(),
            renewable=bool(answer["renewable"]),
        )

    def _explained(self, error: Exception) -> ConfigurationError:
        url = self._settings.url
        match error:
            case requests.RequestException():
                return OpenBaoAway(f"OpenBao at {url} does not answer: start it, or mend the way")
            case VaultDown():
                return OpenBaoAway(f"OpenBao at {url} is sealed: run `bao operator unseal`")
            case Forbidden():
                return ConfigurationError(
                    f"OpenBao at {url} forbids it: the policy of the AppRole must allow to read "
                    f"{self._settings.kv_mount}/data/{self._path}, and to use the database and "
                    "PKI roles that are set"
                )
            case InvalidRequest() if self._token is None:
                return ConfigurationError(
                    f"OpenBao at {url} refuses the log-in: role_id or secret id is wrong or ended"
                )
        return ConfigurationError(f"OpenBao at {url} refuses: {type(error).__name__}")
