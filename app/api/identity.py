"""Who asks. Either we verify a bearer token (`AUTH_MODE=jwt`), or a gateway before us has done so (`gateway`)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, Protocol, TypeVar, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.api.asked import Environ, asked
from app.api.contract import documented, refuses
from app.api.fields import is_clean
from app.api.verified import Claims, Verified
from app.domain.errors import refusal
from app.settings import BadSetting, Settings

USER_HEADER: Final = "X-User-ID"
_LONGEST_USER: Final = 128  # characters
V = TypeVar("V", bound=Callable[..., Any])


class Identity(Protocol):
    def user(self, environ: Environ) -> str:
        """The user's id. Raises `UNAUTHORIZED`."""

    def admit_admin(self, environ: Environ) -> None:
        """Raises `UNAUTHORIZED`, `FORBIDDEN`."""


def identity_of(settings: Settings) -> Identity:
    """By `AUTH_MODE`. Raises `BadSetting` for a key that cannot be used."""
    if settings.auth_mode == "gateway":
        return ByGateway(settings.admin_token)
    keys: dict[str, Any] = {"HS256": settings.jwt_secret} if settings.jwt_secret else {}
    if settings.jwt_public_key:
        keys |= _public_key(settings.jwt_public_key)
    return ByToken(
        keys, settings.jwt_issuer, settings.jwt_audience, settings.admin_token, Verified(settings.tokens_remembered)
    )


def _public_key(pem: str) -> dict[str, Any]:
    """The one algorithm that a key of this kind serves, and the key."""
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        raise BadSetting("JWT_PUBLIC_KEY cannot be read as a public key.") from None
    match key:
        case RSAPublicKey():
            return {"RS256": key}
        case Ed25519PublicKey():
            return {"EdDSA": key}
        case _:
            raise BadSetting("JWT_PUBLIC_KEY must be an RSA or an Ed25519 key.")


@dataclass(frozen=True)
class ByToken:
    """`keys`: for each algorithm the one key that it may be used with. A token that names an algorithm therefore never
    chooses what its key is taken for: an RSA key in PEM is no HMAC secret here."""

    keys: dict[str, Any] = field(repr=False)
    issuer: str | None
    audience: str | None
    admin_token: str | None = field(repr=False)
    verified: Verified

    def user(self, environ: Environ) -> str:
        return self._claims(_bearer(environ))["sub"]  # type: ignore[no-any-return]

    def admit_admin(self, environ: Environ) -> None:
        token = _bearer(environ)
        if _same(token, self.admin_token):
            return
        claims = self._claims(token)
        if claims.get("role") != "admin" and "admin" not in _scopes(claims):
            raise refusal("FORBIDDEN", "The token has neither the scope nor the role admin")

    def _claims(self, token: str) -> Claims:
        claims = self.verified.get(token)
        if claims is None:
            claims = self._verify(token)
            self.verified.add(token, claims)
        return claims

    def _verify(self, token: str) -> Claims:
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            if not isinstance(algorithm, str) or algorithm not in self.keys:
                raise jwt.InvalidAlgorithmError("The algorithm is not one of ours")
            claims = jwt.decode(
                token,
                self.keys[algorithm],
                algorithms=[algorithm],
                issuer=self.issuer,
                audience=self.audience,
                # An audience matters where we are told ours; a clock ahead of ours in `iat` decides nothing.
                options={"require": ["exp", "sub"], "verify_aud": self.audience is not None, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise refusal("UNAUTHORIZED", _reason(error)) from None
        if not _is_user(claims["sub"]):
            raise refusal("UNAUTHORIZED", "The token's sub is not a user's id")
        return claims


@dataclass(frozen=True)
class ByGateway:
    admin_token: str | None = field(repr=False)

    def user(self, environ: Environ) -> str:
        user: str = environ.get("HTTP_X_USER_ID", "")
        if not user.isascii():
            try:
                user = user.encode("latin-1").decode("utf-8")  # WSGI hands header bytes over as Latin-1
            except UnicodeError:
                user = ""
        # Two header lines arrive joined by a comma: one of them may be the client's own.
        if not _is_user(user) or "," in user:
            raise refusal("UNAUTHORIZED", f"{USER_HEADER} must hold one user's id")
        return user

    def admit_admin(self, environ: Environ) -> None:
        if not _same(environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer "), self.admin_token):
            raise refusal("FORBIDDEN", "The administrator's token is needed")


def _bearer(environ: Environ) -> str:
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise refusal("UNAUTHORIZED", "A bearer token is needed")
    return token.strip()


def _same(given: str, expected: str | None) -> bool:
    """Takes as long for a wrong token that begins right as for any other."""
    return expected is not None and secrets.compare_digest(given.encode(), expected.encode())


def _is_user(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= _LONGEST_USER and is_clean(text)


def _scopes(claims: Claims) -> list[Any]:
    """`scope` as RFC 8693 writes it, one string of words, or as a list."""
    scope = claims.get("scope")
    match scope:
        case str():
            return scope.split()
        case list():
            return scope
        case _:
            return []


def _reason(error: Exception) -> str:
    """For the token's owner to act on; never more than its kind."""
    match error:
        case jwt.ExpiredSignatureError():
            return "The token has expired"
        case jwt.ImmatureSignatureError():
            return "The token is not valid yet"
        case jwt.InvalidIssuerError() | jwt.InvalidAudienceError():
            return "The token is not meant for this service"
        case jwt.MissingRequiredClaimError():
            return "The token lacks a claim: exp and sub are needed"
        case _:
            return "The token cannot be verified"


def for_user(view: V) -> V:
    """Gives the view its `user`; somebody whom we do not know is refused before anything is read."""

    @wraps(view)
    def identified(*positional: Any, **named: Any) -> Any:
        now = asked()
        identity: Identity = now.app.extensions["holdfast.identity"]
        return view(*positional, user=identity.user(now.environ), **named)

    secured = documented(identified, security=[{"bearer": []}, {"gateway": []}])
    return cast(V, refuses("UNAUTHORIZED")(secured))


def for_admin(view: V) -> V:
    """Lets only an administrator reach the view."""

    @wraps(view)
    def admitted(*positional: Any, **named: Any) -> Any:
        now = asked()
        identity: Identity = now.app.extensions["holdfast.identity"]
        identity.admit_admin(now.environ)
        return view(*positional, **named)

    secured = documented(admitted, security=[{"bearer": []}])
    return cast(V, refuses("UNAUTHORIZED", "FORBIDDEN")(secured))
