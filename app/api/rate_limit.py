"""A limit for each client, where `RATE_LIMIT_PER_MINUTE` sets one. Where it does not, nothing of this is in the way.

A client is the user where a route knows one (/bookings), else the peer's address (/events). The answers tell what is
left as draft-ietf-httpapi-ratelimit-headers has it, in structured fields (RFC 9651).
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Protocol

from flask import Flask, Response, request

from app.api.asked import Environ, asked
from app.api.identity import Identity
from app.domain.errors import refusal
from app.domain.limits import Allowance, Rate

BY_PEER: Final = "events"
"""The one among the limited blueprints that knows no user."""


class Limits(Protocol):
    @property
    def rate(self) -> Rate: ...
    def ask(self, client: str) -> Allowance | None: ...


def register(app: Flask, limits: Limits) -> None:
    """Comes after identity, which it wraps."""
    limited = Limited(app.extensions["holdfast.identity"], limits)
    app.extensions["holdfast.identity"] = limited
    policy = f'"client";q={limits.rate.burst};w={limits.rate.window_seconds}'

    def before_request() -> None:
        if request.blueprint is not None and request.blueprint.removesuffix("_at_root") == BY_PEER:
            limited.count(f"peer {peer_of(request.remote_addr or '')}")

    def after_request(response: Response) -> Response:
        allowance = asked().allowance
        if allowance is None:
            return response
        response.headers["RateLimit-Policy"] = policy
        response.headers["RateLimit"] = f'"client";r={allowance.remaining};t={allowance.full_in_seconds}'
        if response.status_code == 429:
            response.headers["Retry-After"] = str(allowance.retry_in_seconds)
        return response

    app.before_request(before_request)
    app.after_request(after_request)


def peer_of(address: str) -> str:
    """Whoever has one IPv6 address has all of its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:  # of a socket in the file system: one peer
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


@dataclass(frozen=True)
class Limited:
    """An identity that counts whom it knows."""

    identity: Identity
    limits: Limits

    def user(self, environ: Environ) -> str:
        """Raises `UNAUTHORIZED`, `RATE_LIMITED`."""
        user = self.identity.user(environ)
        self.count(f"user {user}")
        return user

    def admit_admin(self, environ: Environ) -> None:
        self.identity.admit_admin(environ)

    def count(self, client: str) -> None:
        """Raises `RATE_LIMITED`."""
        asked().allowance = allowance = self.limits.ask(client)
        if allowance is not None and allowance.retry_in_seconds is not None:
            raise refusal("RATE_LIMITED", f"Ask again in {allowance.retry_in_seconds} s")
