"""Which addresses may be connected to: a policy of the caller's, and a ready one for public addresses. Pure.

A policy that looks at the URL is none: ``http://2130706433/``, ``http://0x7f.1/`` and any name whose owner answers with
127.0.0.1 lead to this machine, and the answer to a second look-up may differ from the first. So the policy is asked
about the very addresses that are connected to, on every hop, after the one look-up that gives them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from .exceptions import AddressNotAllowedError
from .resolver import AddrInfo

__all__ = ["AddressPolicy", "allowed_addresses", "is_public_address"]

AddressPolicy = Callable[[str, int], bool]
"""Whether this address (IPv4 or IPv6, without zone) and port may be connected to."""

# ipaddress follows the registries of IANA as of its own release: what became special since, or was corrected, is here.
_SPECIAL_V4: Final = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890: protocol assignments, of which older releases know the first eight
    IPv4Network("192.88.99.0/24"),  # RFC 7526: relays of 6to4, withdrawn
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # RFC 4291 section 2.4; all that IANA has given out is in it
_DOCUMENTATION: Final = IPv6Network("3fff::/20")  # RFC 9637
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1: an IPv4 address in the last 32 bits


def is_public_address(ip: str, port: int = 0) -> bool:
    """Whether *ip* is an address of the public Internet, for ``TCPConnector(allow_address=is_public_address)``.

    Not public: loopback, private, shared and link-local networks (cloud metadata is at 169.254.169.254), multicast,
    whatever else is special (RFC 6890), and all of that when it is written inside of an IPv6 address: IPv4-mapped,
    NAT64 (RFC 6052) and 6to4 (RFC 3056) are judged by the IPv4 address that they lead to.

    Args:
        ip: An address; what is none is not public.
        port: Any port will do.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is None:
            return address in _GLOBAL_UNICAST and address.is_global and address not in _DOCUMENTATION
        address = inner
    return address.is_global and not address.is_multicast and not any(address in net for net in _SPECIAL_V4)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that *address* leads to; None when it stands for itself."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def allowed_addresses(addresses: Sequence[AddrInfo], allow: AddressPolicy, host: str, port: int) -> list[AddrInfo]:
    """Those of *addresses* that *allow* lets pass, in their order.

    Args:
        addresses: What *host* resolved to. What is written otherwise than as an address (a resolver may give names) is
            refused: the system would look it up once more, behind the policy.
        allow: The policy.
        host: For messages.
        port: For messages.

    Raises:
        AddressNotAllowedError: None is left.
    """
    refused: list[str] = []
    left = []
    for info in addresses:
        ip = str(info[4][0]).partition("%")[0]
        if _is_address(info[0], ip) and allow(ip, info[4][1]):
            left.append(info)
        else:
            refused.append(ip)
    if not left:
        raise AddressNotAllowedError(host, port, refused)
    return left


def _is_address(family: int, ip: str) -> bool:
    try:
        socket.inet_pton(family, ip)
    except (OSError, ValueError):
        return False
    return True
