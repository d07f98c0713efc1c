"""Settings, read once from the environment. What cannot be used stops the start with one sentence that names it.

Each line of `Settings` holds all there is to know of one setting: name (upper case in the environment), type, rule,
default, and the reason for it. An empty variable counts as not set. Secrets never show in `repr`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import unquote, urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError
from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range, Regexp

_HMAC_SECRET_BYTES: Final = 32  # RFC 7518, section 3.2: a key for HS256 is at least as long as its hash
_ADMIN_TOKEN_CHARACTERS: Final = 16  # 64 bits even in hexadecimal: not to be guessed over the network
_PEM: Final = re.compile(r"\s*-----BEGIN PUBLIC KEY-----")


class BadSetting(Exception):
    """The environment cannot be used; the message is one sentence that names the setting."""


def _integer(default: int, low: int, high: int) -> Any:
    parse = ma.Integer(validate=Range(low, high), error_messages={"invalid": "must be a whole number"})
    return field(default=default, metadata={"parse": parse})


def _text(*rules: Any, default: str | None = None, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": ma.String(validate=list(rules))})


def _url(*schemes: str) -> Any:
    """A URL, shown nowhere: it may carry a password."""

    def readable(url: str) -> None:
        if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValidationError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        try:
            parts = urlsplit(url)
            if parts.scheme.startswith("redis"):  # of Postgres there may be several hosts, each with its port
                _ = parts.port
        except ValueError:
            raise ValidationError("must be a URL") from None

    return field(repr=False, metadata={"parse": ma.String(required=True, validate=readable)})


def _host_and_port(text: str) -> None:
    known = re.fullmatch(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    if not known or int(known[1]) > 65_535:
        raise ValidationError("must be host:port")


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str = _url("postgresql", "postgres")
    redis_url: str = _url("redis", "rediss", "unix")
    kafka_bootstrap_servers: str | None = _text()
    """Read by the worker only. None: events wait in the outboxes until there is a Kafka."""

    app_env: Literal["production", "development"] = _text(OneOf(["production", "development"]), default="production")
    """`development` admits short secrets and logs for a reader; whoever forgets it gets the strict one."""

    shards: int = _integer(16, 1, 4096)
    """Fixed when installed. More than the cores that Redis will ever have; 4096 is what a booking id can carry."""
    outbox_max: int = _integer(1_000_000, 1, 1_000_000_000)
    """Entries of one shard's outbox, past which reserve answers 503: a bound on Redis' memory while nobody records."""
    redis_timeout_ms: int = _integer(500, 10, 60_000)
    """For a connection from the pool, for connecting and for each reply: a 503 comes within its second."""
    redis_pool_size: int = _integer(64, 1, 10_000)
    """Connections per process. A script takes well under a millisecond: Redis cannot serve 64 at once. The web process
    has one more, which all its scripts share."""
    redis_calls_max: int = _integer(4_000, 1, 1_000_000)
    """Scripts that may wait on the shared connection at once; past them 503. As many as may be in flight: Redis is
    through with them in some hundred milliseconds, well within `REDIS_TIMEOUT_MS`."""
    postgres_pool_size: int = _integer(8, 1, 1_000)
    """Connections per process. Confirms queue on the zone's row anyway; each connection is a process in Postgres."""
    postgres_timeout_ms: int = _integer(800, 10, 600_000)
    """For a connection from the pool and a statement: then 503, within a second, and the client may ask again."""
    confirm_batch: int = _integer(64, 1, 500)
    """Confirms that share one transaction: some ten milliseconds of it, and of the lock on a hot zone's row."""
    confirm_lanes: int = _integer(2, 1, 64)
    """Such transactions under way per process. One keeps Postgres idle between two; more queue on a hot zone's row."""
    confirm_linger_ms: int = _integer(5, 0, 1_000)
    """How long a confirm waits for company while another is under way. One that comes alone does not wait."""
    confirm_queue_max: int = _integer(2_000, 1, 1_000_000)
    """Confirms per process that may wait for their transaction; past it 503. More are not done in time anyway."""
    breaker_failures: int = _integer(5, 0, 1_000)
    """Calls of Redis, or of Postgres, in a row that got no answer, after which a process answers 503 at once instead of
    waiting; one call in `BREAKER_PROBE_MS` still tries. 0: never."""
    breaker_probe_ms: int = _integer(250, 10, 60_000)
    """Selling goes on so soon after the server's return."""
    pin_limit_seconds: int = _integer(15, 1, 86_400)
    """After which the sweeper asks Postgres about a pin: longer than a confirm without a payment provider can take."""
    sweep_batch: int = _integer(250, 1, 500)
    """Reservations that one call of expire ends, at some twenty microseconds each: a reserve behind it hardly waits."""
    sweep_interval_ms: int = _integer(500, 10, 60_000)
    """Between two looks at a shard with nothing due: expired seats are on sale again within 2 s with room to spare."""
    audit_seconds: int = _integer(30, 1, 86_400)
    """In which the worker compares each zone's figures in Redis with its reservations and with Postgres once."""
    photograph_seconds: int = _integer(60, 1, 86_400)
    """Between two photographs of all zones in both stores (booking.redis_snapshots)."""

    worker_nice: int = _integer(10, 0, 19)
    """How far the worker stands back for others on its machine: what it does may wait some milliseconds, buyers may
    not. However busy they keep all cores, it still gets a tenth of one. 0: not at all."""
    worker_metrics_bind: str | None = _text(_host_and_port)
    """Where the worker answers Prometheus. None: nowhere."""

    max_body_bytes: int = _integer(65_536, 1_024, 16_777_216)
    """The largest body that is read. What we ask for fits into 1 KiB."""
    max_in_flight: int = _integer(4_000, 1, 1_000_000)
    """Requests in flight per process before shedding: a longer queue only answers clients that have given up."""
    retry_after_seconds: int = _integer(1, 1, 3_600)
    """What a 503 advises: most outages here (a rebuild, a failover) end within seconds."""
    body_timeout_seconds: int = _integer(10, 1, 15)
    """For a whole body to arrive: one that trickles in must not hold its place for ever. 64 KiB take a modem ten."""
    drain_seconds: int = _integer(5, 0, 60)
    """From SIGTERM to the end of listening, while `/readyz` says 503: two looks of a balancer. In development: 0."""

    hot_routes: Literal["on", "off"] = _text(OneOf(["on", "off"]), default="on")
    """Whether plain requests for reserve, confirm, release and get reach their views past Flask's dispatch, which takes
    more CPU than all the rest; views, answers, log and metrics are the same. `off`: to look for a fault there, or for
    whoever adds a hook of Flask's. With `RATE_LIMIT_PER_MINUTE` every request takes Flask's way."""
    rate_limit_per_minute: int = _integer(0, 0, 1_000_000)
    """Requests that one client may make in the long run: the user, or the peer's address where a route knows no user
    (behind a proxy that is the proxy's). 0, the default: no limit, and not a step more for any request."""
    rate_limit_burst: int = _integer(60, 1, 100_000)
    """Requests that one client may make at once; a page that shows some events asks a dozen times."""

    auth_mode: Literal["jwt", "gateway"] = _text(OneOf(["jwt", "gateway"]), default="jwt")
    """Who verifies the caller: we (bearer token), or a gateway before us (`X-User-ID`)."""
    jwt_secret: str | None = _text(Length(min=1), secret=True)
    jwt_public_key: str | None = _text(Length(min=1), secret=True)
    """PEM text, or `@/path` of a file that holds it."""
    jwt_issuer: str | None = _text()
    jwt_audience: str | None = _text()
    tokens_remembered: int = _integer(10_000, 0, 1_000_000)
    """Bearer tokens per process that are not verified again before they expire: some 10 MB, and 40 us less for each
    request with HS256, 100 us with RS256. 0: each is verified each time."""
    admin_token: str | None = _text(Regexp(r"[\x21-\x7e]+\Z", error="must be visible ASCII"), secret=True)
    """Admits to /admin in both modes. None: only a token with the scope or role `admin` does."""

    payments: Literal["none", "http", "stripe"] = _text(OneOf(["none", "http", "stripe"]), default="none")
    """Who takes the money. `none`: whoever confirms has paid, and `payment_id` is recorded as proof. `http`: a provider
    that speaks the protocol of docs/payments.md. `stripe`: Stripe."""
    payments_url: str | None = _text(Regexp(r"https?://[^\s?#]+\Z", error="must begin with http:// or https://"))
    """Where `http` finds its provider; for `stripe` only where that is not Stripe itself but a stand-in."""
    payments_token: str | None = _text(Regexp(r"[\x21-\x7e]+\Z", error="must be visible ASCII"), secret=True)
    """What we show to the provider, as a bearer token."""
    payments_webhook_secret: str | None = _text(
        Regexp(r"(whsec_)?[A-Za-z0-9+/]{32,}={0,2}\Z", error="must be 24 bytes or more in base64"), secret=True
    )
    """By which the provider signs what it tells to /webhooks/payments. None: nobody may tell."""
    stripe_secret_key: str | None = _text(Regexp(r"[\x21-\x7e]+\Z", error="must be visible ASCII"), secret=True)
    stripe_webhook_secret: str | None = _text(Regexp(r"[\x21-\x7e]+\Z", error="must be visible ASCII"), secret=True)
    """By which Stripe signs what it tells to /webhooks/stripe. None: nobody may tell."""
    payment_timeout_ms: int = _integer(3_000, 10, 10_000)
    """For a provider's whole answer. Then confirm says 202, and the worker goes on asking."""
    payment_bound_seconds: int = _integer(120, 1, 86_400)
    """How long a payment's outcome may be unknown before it is given up: its seats are free again."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _text(
        OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]), default="INFO"
    )
    log_format: Literal["json", "text"] = _text(OneOf(["json", "text"]), default="json")
    """Unless given: JSON in production, text in development."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Reads and checks them all. Raises `BadSetting` for the first that cannot be used."""
        given = {name: value for name, value in environ.items() if value}
        if given.get("APP_ENV") == "development":
            given.setdefault("LOG_FORMAT", "text")
            given.setdefault("DRAIN_SECONDS", "0")
        try:
            settings = cls(**{name.lower(): value for name, value in _SCHEMA.load(given).items()})
        except ValidationError as error:
            raise BadSetting(_first_sentence(cast("dict[str, Any]", error.messages))) from None
        settings = settings._with_key_file()
        settings._check_identity()
        settings._check_payments()
        return settings

    def secrets(self) -> list[str]:
        """The values that must not show in any log."""
        passwords = [urlsplit(url).password for url in (self.database_url, self.redis_url)]
        known = [self.jwt_secret, self.admin_token, self.payments_token, self.payments_webhook_secret]
        known += [self.stripe_secret_key, self.stripe_webhook_secret]
        return [secret for secret in (*known, *passwords, *(unquote(p) for p in passwords if p)) if secret]

    def _with_key_file(self) -> "Settings":
        """The same with the text of the key in place of `@/path`."""
        pem = self.jwt_public_key
        if pem is None:
            return self
        if pem.startswith("@"):
            try:
                pem = Path(pem[1:]).read_text("utf-8")
            except (OSError, ValueError):
                raise BadSetting("JWT_PUBLIC_KEY names a file that cannot be read.") from None
        # In one line of an .env file the line ends are often written out.
        pem = pem.replace("\\n", "\n")
        if not _PEM.match(pem):
            raise BadSetting("JWT_PUBLIC_KEY must be PEM text (-----BEGIN PUBLIC KEY-----) or @/path of it.")
        return replace(self, jwt_public_key=pem)

    def _check_identity(self) -> None:
        """What would let anybody in, or nobody, does not start."""
        if self.auth_mode == "jwt" and not (self.jwt_secret or self.jwt_public_key):
            raise BadSetting("JWT_SECRET or JWT_PUBLIC_KEY must be set where AUTH_MODE is jwt.")
        if self.app_env == "development":
            return
        if self.jwt_secret and len(self.jwt_secret.encode()) < _HMAC_SECRET_BYTES:
            raise BadSetting(f"JWT_SECRET must have at least {_HMAC_SECRET_BYTES} bytes in production.")
        if self.admin_token and len(self.admin_token) < _ADMIN_TOKEN_CHARACTERS:
            raise BadSetting(f"ADMIN_TOKEN must have at least {_ADMIN_TOKEN_CHARACTERS} characters in production.")
        if self.auth_mode == "gateway" and not self.admin_token:
            raise BadSetting("ADMIN_TOKEN must be set where AUTH_MODE is gateway: nothing else admits to /admin.")

    def _check_payments(self) -> None:
        if self.payments == "http" and not self.payments_url:
            raise BadSetting("PAYMENTS_URL must be set where PAYMENTS is http.")
        if self.payments == "stripe" and not self.stripe_secret_key:
            raise BadSetting("STRIPE_SECRET_KEY must be set where PAYMENTS is stripe.")


_SCHEMA: Final = Schema.from_dict({f.name.upper(): f.metadata["parse"] for f in fields(Settings)})(unknown=EXCLUDE)


def _first_sentence(errors: Mapping[str, Any]) -> str:
    """Of the first setting that is wrong, in the order of `Settings`. Never tells the value: it may be a secret."""
    name = next(f.name.upper() for f in fields(Settings) if f.name.upper() in errors)
    reason = str(errors[name][0]).rstrip(".")
    if reason == "Missing data for required field":
        return f"{name} must be set."
    return f"{name} {reason[0].lower()}{reason[1:]}."
