"""``fetchd.client``: an asynchronous HTTP/1.1 client with pooled TCP and Unix-socket connectors.

    async with ClientSession() as session:
        async with session.get("http://example.org/") as response:
            content = await response.read()

Knows nothing of jobs. The vocabulary is aiohttp's where the meaning is the same. Users import from here.
"""

from . import exceptions
from .addresses import AddressPolicy, is_public_address
from .auth import Auth, BasicAuth, BearerAuth, DigestAuth
from .base_connector import BaseConnector
from .connectors import TCPConnector, UnixConnector
from .continued import ContinuedContent
from .cookies import Cookie, CookieJar, DummyCookieJar
from .dispositions import ContentDisposition
from .exceptions import *  # noqa: F403 -- the error tree is part of the surface as a whole
from .formdata import FormData
from .options import RequestOptions
from .pacing import Pace
from .proxy_connector import ProxyConnector
from .resolver import AddrInfo, CachingResolver, Resolver, ThreadedResolver
from .response import ClientResponse, RequestInfo
from .session import ClientSession, request
from .streams import StreamReader
from .timeouts import ClientTimeout, Timeout
from .timings import Timings
from .tls import client_context
from .tracing import (
    TraceConfig,
    TraceConnectionCreateEndParams,
    TraceConnectionCreateStartParams,
    TraceConnectionQueuedEndParams,
    TraceConnectionQueuedStartParams,
    TraceConnectionReuseconnParams,
    TraceDnsCacheHitParams,
    TraceDnsCacheMissParams,
    TraceDnsResolveHostEndParams,
    TraceDnsResolveHostStartParams,
    TraceRequestChunkSentParams,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestHeadersSentParams,
    TraceRequestRedirectParams,
    TraceRequestStartParams,
    TraceResponseChunkReceivedParams,
    TraceTLSEndParams,
    TraceTLSStartParams,
)
from .trust import Fingerprint
from .wire import WireHook

__all__ = [
    *exceptions.__all__,
    "AddrInfo",
    "AddressPolicy",
    "Auth",
    "BaseConnector",
    "BasicAuth",
    "BearerAuth",
    "CachingResolver",
    "ClientResponse",
    "ClientSession",
    "ClientTimeout",
    "ContentDisposition",
    "ContinuedContent",
    "Cookie",
    "CookieJar",
    "DigestAuth",
    "DummyCookieJar",
    "Fingerprint",
    "FormData",
    "Pace",
    "ProxyConnector",
    "RequestInfo",
    "RequestOptions",
    "Resolver",
    "StreamReader",
    "TCPConnector",
    "ThreadedResolver",
    "Timeout",
    "Timings",
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
    "TraceTLSEndParams",
    "TraceTLSStartParams",
    "UnixConnector",
    "WireHook",
    "client_context",
    "is_public_address",
    "request",
]
