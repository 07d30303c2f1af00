"""Public suffixes, as publicsuffix.org defines them; the package's own reader is the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList
from yarl import URL

from fetchd.client import CookieJar
from fetchd.client.public_suffixes import _rules, is_public_suffix

REFERENCE = PublicSuffixList(accept_unknown=True)
PARTS = sorted(
    {label for rule in list(_rules())[:400] for label in rule.lstrip("!*.").split(".")} | {"www", "ck", "jp"}
)


@pytest.mark.parametrize(
    "domain", ["com", "co.uk", "github.io", "ck", "anything.ck", "localhost", "xn--p1ai", "co.uk."]
)
def test_suffixes_are_known(domain: str) -> None:
    """Of the registries and of private owners; a star stands for one label; unknown ends are suffixes."""
    assert is_public_suffix(domain)


@pytest.mark.parametrize(
    "domain", ["example.com", "example.co.uk", "me.github.io", "www.ck", "a.b.ck", "intranet.corp1"]
)
def test_what_is_below_a_suffix_is_none(domain: str) -> None:
    """Exceptions (www.ck) beat the star."""
    assert not is_public_suffix(domain)


def test_international_suffixes_are_known_by_their_form_on_the_wire() -> None:
    """The list has them in their own script."""
    assert is_public_suffix("xn--55qx5d.cn")
    assert not is_public_suffix("xn--mgba3a4f16a.example.com")


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
def test_every_domain_is_judged_as_by_the_reference(labels: list[str]) -> None:
    """Whatever its labels."""
    domain = ".".join(label.encode("idna").decode() for label in labels)
    assert is_public_suffix(domain) == bool(REFERENCE.is_public(domain))


@pytest.mark.parametrize(
    ("host", "domain", "stored"),
    [
        ("shop.example.co.uk", "example.co.uk", True),
        ("shop.example.co.uk", "co.uk", False),
        ("me.github.io", "github.io", False),
        ("github.io", "github.io", True),
        ("a.www.ck", "www.ck", True),
        ("a.b.ck", "b.ck", False),
    ],
)
def test_no_host_sets_a_cookie_for_a_public_suffix_but_for_itself(host: str, domain: str, stored: bool) -> None:
    """RFC 6265 section 5.3 step 5: else one customer of a registry would set cookies for all others."""
    jar = CookieJar()
    jar.update_from_response([f"a=1; Domain={domain}"], URL(f"https://{host}/"))
    assert bool(jar) is stored
    if stored and host == domain:
        assert jar.cookie_header(URL(f"https://other.{host}/")) == "", "for the suffix itself it is a host's cookie"
