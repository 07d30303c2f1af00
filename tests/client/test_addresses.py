"""An address policy judges what is connected to, whatever the URL or the resolver called it."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import AddressNotAllowedError, ClientConnectorError, ClientSession, TCPConnector, is_public_address
from fetchd.client.addresses import allowed_addresses
from fetchd.client.resolver import AddrInfo
from tests.support.raw_server import raw_server, reply_with, response

BOTH_LOOPS = True
pytestmark = pytest.mark.usefixtures("nothing_left")

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
NOT_PUBLIC = {
    "loopback": "127.0.0.1",
    "all-of-loopback": "127.255.0.3",
    "this-host": "0.0.0.0",
    "private-10": "10.0.0.1",
    "private-172": "172.16.5.4",
    "private-192": "192.168.1.1",
    "shared": "100.64.0.1",
    "metadata": "169.254.169.254",
    "protocol-assignments": "192.0.0.9",
    "documentation": "192.0.2.1",
    "relay-of-6to4": "192.88.99.1",
    "benchmarking": "198.18.0.1",
    "multicast": "224.0.0.1",
    "global-multicast": "232.1.2.3",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6-loopback": "::1",
    "v6-any": "::",
    "v6-link-local": "fe80::1",
    "v6-unique-local": "fd00::1",
    "v6-site-local": "fec0::1",
    "v6-multicast": "ff0e::1",
    "v6-documentation": "2001:db8::1",
    "v6-new-documentation": "3fff::1",
    "teredo": "2001:0:101:101::1",
    "mapped": "::ffff:127.0.0.1",
    "mapped-metadata": "::ffff:a9fe:a9fe",
    "compatible": "::127.0.0.1",
    "nat64": "64:ff9b::7f00:1",
    "local-nat64": "64:ff9b:1::101:101",
    "6to4": "2002:7f00:1::1",
    "6to4-private": "2002:0a00:0001::",
    "no-address": "localhost",
    "short": "127.1",
    "number": "2130706433",
    "nothing": "",
}


@pytest.mark.parametrize("ip", PUBLIC)
def test_an_address_of_the_public_internet_is_public(ip: str) -> None:
    assert is_public_address(ip, 80)


@pytest.mark.parametrize("ip", NOT_PUBLIC.values(), ids=NOT_PUBLIC)
def test_what_is_special_is_not_public_however_it_is_wrapped(ip: str) -> None:
    """RFC 6890 and its kin; IPv4 inside of IPv6 is what it leads to."""
    assert not is_public_address(ip, 80)


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_changes_nothing(address: Any) -> None:
    """IPv4-mapped (RFC 4291), NAT64 (RFC 6052) and 6to4 (RFC 3056) are judged as the address in them."""
    number = int(address)
    wrapped = [f"::ffff:{address}", f"64:ff9b::{address}", f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"]
    assert {is_public_address(ip) for ip in wrapped} == {is_public_address(str(address))}


def info(host: str, family: int = socket.AF_INET) -> AddrInfo:
    """As a resolver gives it."""
    return (socket.AddressFamily(family), socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 80))


def test_what_is_allowed_stays_in_its_order() -> None:
    asked: list[tuple[str, int]] = []

    def allow(ip: str, port: int) -> bool:
        asked.append((ip, port))
        return ip != "10.0.0.1"

    addresses = [info("1.1.1.1"), info("10.0.0.1"), info("1.0.0.1")]
    assert allowed_addresses(addresses, allow, "h", 80) == [addresses[0], addresses[2]]
    assert asked == [("1.1.1.1", 80), ("10.0.0.1", 80), ("1.0.0.1", 80)]


@pytest.mark.parametrize("told", ["localhost", "127.1", "2130706433", "0x7f.1", "1.1.1.1 ", ""])
def test_what_is_not_written_as_an_address_is_refused_unasked(told: str) -> None:
    """A resolver may give a name where an address belongs; the system would look it up behind the policy."""
    with pytest.raises(AddressNotAllowedError):
        allowed_addresses([info(told)], lambda ip, port: True, "h", 80)


def test_a_zone_is_no_part_of_the_address() -> None:
    """fe80::1%eth0 is fe80::1 to the policy (RFC 4007 section 11)."""
    asked: list[str] = []
    link_local = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("fe80::1%1", 80, 0, 1))

    def refuse(ip: str, port: int) -> bool:
        asked.append(ip)
        return False

    with pytest.raises(AddressNotAllowedError):
        allowed_addresses([link_local], refuse, "h", 80)
    assert asked == ["fe80::1"]


# On sockets.

LOOPBACK_FORMS = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0x7f000001", "017700000001", "[::1]"]
MAPPED = ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]


@pytest.mark.parametrize("host", [*LOOPBACK_FORMS, *MAPPED])
async def test_this_machine_is_not_reached_by_any_of_its_names(host: str) -> None:
    """Numeric forms are for getaddrinfo to read; the policy sees what it makes of them."""
    connector = TCPConnector(allow_address=is_public_address)
    async with raw_server(reply_with(response())) as server, ClientSession(connector=connector) as session:
        with pytest.raises(AddressNotAllowedError) as caught:
            await session.get(f"http://{host}:{server.port}/")
        assert isinstance(caught.value, ClientConnectorError)
        assert caught.value.addresses
        assert all(ip in str(caught.value) for ip in caught.value.addresses)
        assert (server.accepted, connector.open_count) == (0, 0)


async def test_a_name_that_answers_differently_the_second_time_gains_nothing() -> None:
    """DNS rebinding: what is judged is what is connected to, and no second look-up stands between the two."""
    asked: list[str] = []

    class Rebinding:
        async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
            asked.append(host)
            ip = "93.184.216.34" if len(asked) % 2 else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port))]

    judged: list[str] = []

    def judge(ip: str, port: int) -> bool:
        judged.append(ip)
        return False

    async with ClientSession(connector=TCPConnector(resolver=Rebinding(), allow_address=judge)) as session:
        for _ in range(2):
            with pytest.raises(AddressNotAllowedError):
                await session.get("http://h.test/")
    assert (len(asked), judged) == (2, ["93.184.216.34", "127.0.0.1"])


async def test_a_redirection_is_judged_as_well() -> None:
    """The policy is the connector's: there is no hop past it."""
    async with raw_server(reply_with(response())) as inner:
        away = response(302, fields=[("Location", f"http://127.1:{inner.port}/")])
        async with raw_server(reply_with(away)) as outer:
            connector = TCPConnector(allow_address=lambda ip, port: port != inner.port)
            async with ClientSession(connector=connector) as session:
                with pytest.raises(AddressNotAllowedError, match=r"127\.0\.0\.1"):
                    await session.get(outer.url())
        assert inner.accepted == 0


async def test_an_allowed_address_beside_a_refused_one_is_used() -> None:
    """Of the addresses of a name those that may be connected to are tried."""
    connector = TCPConnector(allow_address=lambda ip, port: ip == "127.0.0.1")
    async with (
        raw_server(reply_with(response(body=b"yes"))) as server,
        ClientSession(connector=connector) as session,
        session.get(server.url(host="localhost")) as reply,
    ):
        assert await reply.read() == b"yes"
