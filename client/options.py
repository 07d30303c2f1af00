"""What a request may be given besides its method and URL, and that nothing else is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, TypedDict

from .auth import Auth
from .bodies import Data
from .cookie_syntax import GivenCookies
from .heads import Fields
from .timeouts import Timeout
from .trust import SSL
from .urls import Query

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["RequestOptions", "check_options"]


class RequestOptions(TypedDict, total=False):
    """What a request may be given besides method and URL; all of it is optional.

    Attributes:
        params: Query, appended to what the URL has.
        headers: Fields on top of the session's; a name given here replaces the session's.
        cookies: Names and values sent with this request only, redirections within its origin included; in place of
            those that session and jar know by the same names.
        data: Body: octets, text, a form, a file object, an asynchronous iterable, a ``StreamReader``.
        json: Body: this value as JSON; not together with ``data``.
        compress: Whether the body is sent with a content coding, streamed: ``"gzip"``, ``"deflate"``, which True stands
            for, or where the extra ``fetchd[codings]`` is installed ``"br"`` and ``"zstd"``; default False. Not
            together with a Content-Encoding field. A request without content has none.
        chunked: Whether a body is sent in chunks (RFC 9112 section 7.1) though its length is known; default False.
        trailers: Fields that are sent behind the content, in chunks (RFC 9110 section 6.5): names, and functions that
            give the values once the last octet is sent. The Trailer field announces them. A name that must stand before
            the content is refused; default none. Few servers look at trailers.
        skip_auto_headers: Names of fields that are not sent unless you or the session give them: Accept,
            Accept-Encoding, User-Agent, Content-Type; what the session skips is skipped, too.
        expect100: Whether the content waits until the server says that it wants it (Expect: 100-continue, RFC 9110
            section 10.1.1), at most a second; default False, or True with such a field.
        timeout: Bounds of the phases in place of the session's; a number is ``Timeout(total=number)``.
        allow_redirects: Whether 301, 302, 303, 307 and 308 are followed; default True.
        max_redirects: How many; default the session's.
        auto_decompress: Whether content codings are removed; default the session's.
        max_body_bytes: Bound of the content as received; default the session's; None is no bound.
        max_decoded_bytes: Bound of the content with its codings removed, in place of the bound on the ratio of decoded
            to coded; default the session's; None keeps the ratio.
        verify_digest: Whether Content-Digest and Repr-Digest (RFC 9530) of the response are held to its content; True
            looks at sha-256 and sha-512, names of algorithms at these; default the session's.
        raise_for_status: Whether a status of 400 and above raises; default the session's.
        ssl: Whom TLS trusts for this request, redirections included; default the connector's. See ``BaseConnector``;
            True is the connector's too, unless that verifies nothing.
        verify_ssl: The same as ``ssl``, for True and False.
        ssl_context: The same as ``ssl``, for a context.
        server_hostname: Name asked for (SNI) and looked for in the certificate instead of the URL's host, as long as
            redirections stay within the origin.
        auth: Credentials for the origin, in place of the session's; None for the session's. Not together with an
            Authorization field, nor with user and password in the URL.
        proxy: URL of the proxy this request goes through; None, or nothing, for the session's.
        proxy_auth: Credentials for it, in place of those in its URL.
        proxy_headers: Further fields for it.
        trace_request_ctx: What the contexts of the session's ``trace_configs`` are made with; default None.
    """

    params: Query | None
    headers: Fields | None
    cookies: GivenCookies | None
    data: Data | None
    json: Any
    compress: bool | str | None
    chunked: bool | None
    trailers: Mapping[str, Callable[[], str]] | None
    skip_auto_headers: Iterable[str] | None
    expect100: bool
    timeout: Timeout | float | None
    allow_redirects: bool
    max_redirects: int
    auto_decompress: bool
    max_body_bytes: int | None
    max_decoded_bytes: int | None
    verify_digest: bool | Collection[str]
    raise_for_status: bool
    ssl: SSL | None
    verify_ssl: bool | None
    ssl_context: SSLContext | None
    server_hostname: str | None
    auth: Auth | None
    proxy: str | URL | None
    proxy_auth: Auth | None
    proxy_headers: Mapping[str, str] | None
    trace_request_ctx: Any


_NAMES: Final = frozenset(RequestOptions.__annotations__)
# What other clients call it.
_SAID_ELSEWHERE: Final = {
    "cert": "ssl",
    "content": "data",
    "files": "data",
    "follow_redirects": "allow_redirects",
    "proxies": "proxy",
    "verify": "ssl",
}


def check_options(options: Mapping[str, object]) -> None:
    """See that there are no *options* but those of ``RequestOptions``: what does nothing is not taken.

    Raises:
        TypeError: There is another one; it tells which was probably meant.
    """
    if _NAMES.issuperset(options):
        return
    from difflib import get_close_matches

    name = next(name for name in options if name not in _NAMES)
    meant = [_SAID_ELSEWHERE[name]] if name in _SAID_ELSEWHERE else get_close_matches(name, sorted(_NAMES), 1)
    hint = f"; is {meant[0]}= meant?" if meant else ""
    raise TypeError(f"a request has no option {name}={hint}")
