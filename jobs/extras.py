"""What a manifest may say of an item besides its URL and its name. Values, and the key that is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from .mirrors import Sources
from .targets import without_userinfo

__all__ = ["KEY_BYTES", "Extras", "identity_of", "item_key"]

KEY_BYTES = 16
"""Octets of a key: two of 10^9 items share one with a probability of 10^-21."""


@dataclass(slots=True, eq=False, kw_only=True)
class Extras:
    """What is said of one item; most items have none of it, and then no Extras.

    Attributes:
        method: Of the request. Default ``GET``.
        headers: Request fields of this item alone, on top of the run's; a name given here replaces the run's.
        size: Octets that the file must have; None when it is not said.
        digests: ``(algorithm, digest)`` that the file must have, the algorithm by hashlib's name.
        mirrors: Further URLs of the same content, the best first.
        priority: Items of one host with a higher one start before those with a lower one, among those that were read.
            Default 0.
        columns: What else the manifest says, by its own names: for templates.
        sources: Mutable. Where the item stands with its mirrors; None when it has none.
    """

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    size: int | None = None
    digests: tuple[tuple[str, bytes], ...] = ()
    mirrors: tuple[str, ...] = ()
    priority: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    sources: Sources | None = None


def identity_of(url: str, method: str) -> str:
    """Return *url*, with its method and a blank before it where that is not GET."""
    return url if method == "GET" else f"{method} {url}"


def item_key(url: str, name: str | None = None, method: str = "GET") -> bytes:
    """Return what an item is known by: a hash of method, URL and the output name that the manifest gives.

    The URL counts without its user and password, which are stored nowhere; the line does not count.
    """
    text = "\0".join((method, without_userinfo(url), "" if name is None else f"={name}"))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).digest()
