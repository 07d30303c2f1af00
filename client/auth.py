"""Credentials: Basic (RFC 7617), Bearer (RFC 6750) and Digest (RFC 7616), for origins and for proxies. No I/O.

Lives here: what stands in Authorization and Proxy-Authorization. Not here: to whom it may be sent, and when a request
is made again (``hops``, ``tunnel``).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol, Self
from urllib.parse import unquote

from .challenges import Challenge, parse_challenges, quoted

__all__ = ["Auth", "BasicAuth", "BearerAuth", "DigestAuth", "check_auth", "is_refusal"]


class Auth(Protocol):
    """What can authenticate requests: one of this module, or of your own. Its ``repr`` shows no secret.

    It may be shared by requests, which ask it in turn. A request is made at most five times: as ``authorize`` has it,
    and with four answers.
    """

    def authorize(self, method: str, target: str, content: bytes | None) -> str | None:
        """Credentials for a request that was not challenged; None when a challenge must come first.

        *content* is that of the request, b"" for none; None when it is not in memory.
        """

    def answer(
        self, challenges: Iterable[str], method: str, target: str, content: bytes | None, sent: str | None
    ) -> str | None:
        """Credentials in answer to the *challenges* of a 401 or 407; None when there is no (further) answer.

        *sent* are those that the challenged request had; None for a request without. They tell a refusal from a
        challenge to a request that was under way before the credentials of now were known.
        """


def check_auth(auth: Auth | None) -> Auth | None:
    """Return *auth* if it is none, or can authenticate requests.

    Raises:
        TypeError: It cannot. Nothing of it is told but its type.
    """
    if auth is not None and not (hasattr(auth, "authorize") and hasattr(auth, "answer")):
        raise TypeError(
            f"credentials of type {type(auth).__name__}; expected a BasicAuth(user, password), a BearerAuth, a "
            "DigestAuth or an Auth of your own"
        )
    return auth


class BasicAuth(NamedTuple):
    """User and password, sent as they are with each request: fit for TLS only.

    Attributes:
        login: User; must not hold a colon (RFC 7617 section 2).
        password: May be empty, the default.
        encoding: Of both; ``latin1``, the default, is what aiohttp sends, ``utf-8`` what most servers expect today.
    """

    login: str
    password: str = ""
    encoding: str = "latin1"

    def __repr__(self) -> str:
        return f"<BasicAuth {self.login!r}>"

    @classmethod
    def decode(cls, auth_header: str, encoding: str = "latin1") -> Self:
        """The credentials of an Authorization field.

        Raises:
            ValueError: It is no Basic authentication; what it holds is not told.
        """
        scheme, _, token = auth_header.strip().partition(" ")
        if scheme.lower() != "basic":
            raise ValueError(f"authentication scheme {scheme!r}; expected Basic")
        try:
            login, colon, password = b64decode(token.strip(), validate=True).decode(encoding).partition(":")
        except ValueError:
            raise ValueError("Basic credentials that are no base64 of text") from None
        if not colon:
            raise ValueError("Basic credentials without a colon")
        return cls(login, password, encoding)

    @classmethod
    def from_url(cls, userinfo: str | None, encoding: str = "utf-8") -> Self | None:
        """The credentials in the userinfo of a URL, percent-encoding removed; None without."""
        if not userinfo:
            return None
        login, _, password = userinfo.partition(":")
        return cls(unquote(login), unquote(password), encoding)

    def encode(self) -> str:
        """The value of the field.

        Raises:
            ValueError: A colon in the login, or characters that *encoding* does not have.
        """
        if ":" in self.login:
            raise ValueError("a login for Basic authentication must not hold a colon (RFC 7617 section 2)")
        try:
            credentials = f"{self.login}:{self.password}".encode(self.encoding)
        except UnicodeEncodeError:
            message = f"the credentials hold characters that {self.encoding} does not have; give BasicAuth encoding="
            raise ValueError(message) from None
        return "Basic " + b64encode(credentials).decode("ascii")

    def authorize(self, method: str, target: str, content: bytes | None) -> str | None:
        """See ``Auth``: the same for every request."""
        return self.encode()

    def answer(
        self, challenges: Iterable[str], method: str, target: str, content: bytes | None, sent: str | None
    ) -> str | None:
        """See ``Auth``: they were sent already."""
        return None


class BearerAuth(NamedTuple):
    """A token, sent as it is with each request: fit for TLS only.

    Attributes:
        token: As RFC 6750 section 2.1 has it.
    """

    token: str

    def __repr__(self) -> str:
        return "<BearerAuth>"

    def authorize(self, method: str, target: str, content: bytes | None) -> str | None:
        """See ``Auth``: the same for every request."""
        return f"Bearer {self.token}"

    def answer(
        self, challenges: Iterable[str], method: str, target: str, content: bytes | None, sent: str | None
    ) -> str | None:
        """See ``Auth``: it was sent already."""
        return None


# RFC 7616 section 6.1, the strongest first; MD5 is what most servers offer.
_ALGORITHMS: Final = ("SHA-512-256", "SHA-256", "MD5")


class DigestAuth:
    """User and password, proved by a hash of them and of what the server sent (RFC 7616). Safe to share by requests.

    The first request to a server goes without and is answered 401; later ones carry the answer at once. Understood are
    the algorithms MD5, SHA-256 and SHA-512-256, each with ``-sess``, ``qop`` ``auth`` and ``auth-int`` (for content
    that is in memory), ``userhash`` and the form of RFC 2069 without ``qop``.

    Args:
        login: User.
        password: Password.
        make_cnonce: Makes the client's nonce; the default is 128 random bits. For tests.
    """

    def __init__(self, login: str, password: str = "", *, make_cnonce: Callable[[], str] | None = None) -> None:
        self._login = login
        self._password = password
        self._make_cnonce = _random_cnonce if make_cnonce is None else make_cnonce
        self._session: _Session | None = None

    def __repr__(self) -> str:
        return f"<DigestAuth {self._login!r}>"

    def authorize(self, method: str, target: str, content: bytes | None) -> str | None:
        """See ``Auth``: the answer to the challenge that came last; None while none has come."""
        return None if self._session is None else self._session.credentials(method, target, content)

    def answer(
        self, challenges: Iterable[str], method: str, target: str, content: bytes | None, sent: str | None
    ) -> str | None:
        """See ``Auth``. Asked for the nonce that was sent, it answers only where that is called ``stale``."""
        chosen = _choose(parse_challenges(challenges), content)
        if chosen is None:
            return None
        is_stale = chosen.parameters.get("stale", "").lower() == "true"
        if not is_stale and sent is not None and chosen.parameters["nonce"] == _nonce_of(sent):
            return None  # it has refused these credentials
        session = self._session
        # One nonce may challenge many requests that were under way without credentials: its uses are counted together.
        if session is None or is_stale or session.parameters != chosen.parameters:
            session = self._session = _Session(chosen.parameters, self._login, self._password, self._make_cnonce())
        return session.credentials(method, target, content)


def is_refusal(challenges: Iterable[str]) -> bool:
    """Whether *challenges*, to credentials for a nonce just made, say that Digest's user or password is wrong.

    A server that makes a new nonce for each challenge would else be asked again and again, and count each as a failure
    of the user. Source: RFC 7616 section 3.3, ``stale``.
    """
    digests = [each.parameters for each in parse_challenges(challenges) if each.scheme == "digest"]
    return bool(digests) and not any(each.get("stale", "").lower() == "true" for each in digests)


def _nonce_of(credentials: str) -> str | None:
    """The nonce that Digest *credentials* are for; None of others. Their syntax is that of a challenge."""
    return next((each.parameters.get("nonce") for each in parse_challenges([credentials])), None)


def _random_cnonce() -> str:
    import secrets

    return secrets.token_hex(16)


def _choose(challenges: Iterable[Challenge], content: bytes | None) -> Challenge | None:
    """The challenge with the strongest algorithm among those that can be answered (RFC 7616 section 3.7)."""
    usable = [
        challenge
        for challenge in challenges
        if challenge.scheme == "digest"
        and "nonce" in challenge.parameters
        and _algorithm(challenge.parameters) in _ALGORITHMS
        and _quality(challenge.parameters, content) is not None
        and _is_text(challenge.parameters.values())
    ]
    return min(usable, key=lambda challenge: _ALGORITHMS.index(_algorithm(challenge.parameters)), default=None)


def _algorithm(parameters: Mapping[str, str]) -> str:
    return parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")


def _is_text(values: Iterable[str]) -> bool:
    """Whether the *values* can be sent back: octets that were no UTF-8 came as surrogates, which no field may hold."""
    return not any("\ud800" <= char <= "\udfff" for value in values for char in value)


def _quality(parameters: Mapping[str, str], content: bytes | None) -> str | None:
    """``auth``, ``auth-int``, empty for the form without, or None when what is offered cannot be had."""
    if "qop" not in parameters:
        return ""
    offered = {quality.strip().lower() for quality in parameters["qop"].split(",")}
    if "auth" in offered:
        return "auth"
    return "auth-int" if "auth-int" in offered and content is not None else None


class _Session:
    """One nonce of a server and how often it was used. The names are those of RFC 7616 section 3.4."""

    def __init__(self, parameters: Mapping[str, str], login: str, password: str, cnonce: str) -> None:
        self.nonce = parameters["nonce"]
        self.parameters = parameters
        self._login = login
        self._cnonce = cnonce
        self._count = 0
        self._hash = _hash_of(_algorithm(parameters))
        self._secret = self._hash(f"{login}:{parameters.get('realm', '')}:{password}")
        if parameters.get("algorithm", "").upper().endswith("-SESS"):
            self._secret = self._hash(f"{self._secret}:{self.nonce}:{cnonce}")

    def credentials(self, method: str, target: str, content: bytes | None) -> str | None:
        """The value of Authorization; None when the server wants the content hashed and it is not at hand."""
        quality = _quality(self.parameters, content)
        if quality is None:
            return None
        subject = f"{method}:{target}"
        if quality == "auth-int":
            subject += f":{self._hash(content or b'')}"
        self._count += 1
        count = f"{self._count:08x}"
        middle = f"{count}:{self._cnonce}:{quality}:" if quality else ""
        response = self._hash(f"{self._secret}:{self.nonce}:{middle}{self._hash(subject)}")
        return self._field(target, response, quality, count)

    def _field(self, target: str, response: str, quality: str, count: str) -> str:
        given = self.parameters
        realm = given.get("realm", "")
        is_hashed = given.get("userhash", "").lower() == "true"
        user = self._hash(f"{self._login}:{realm}") if is_hashed else self._login
        parts = [
            f"username={quoted(user)}" if user.isascii() else f"username*=UTF-8''{_extended(user)}",
            f"realm={quoted(realm)}",
            f"nonce={quoted(self.nonce)}",
            f"uri={quoted(target)}",
            f'response="{response}"',
        ]
        if "algorithm" in given:
            parts.append(f"algorithm={given['algorithm']}")
        if "opaque" in given:
            parts.append(f"opaque={quoted(given['opaque'])}")
        if quality:
            parts += [f"qop={quality}", f"nc={count}", f'cnonce="{self._cnonce}"']
        if is_hashed:
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)


def _hash_of(algorithm: str) -> Callable[[str | bytes], str]:
    import hashlib

    names = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}

    def hexadecimal(data: str | bytes) -> str:
        octets = data.encode() if isinstance(data, str) else data
        return hashlib.new(names[algorithm], octets, usedforsecurity=False).hexdigest()

    return hexadecimal


def _extended(text: str) -> str:
    """*text* percent-encoded as RFC 8187 section 3.2.1 wants it."""
    from urllib.parse import quote

    return quote(text, safe="!#$&+^`|~")
