"""Public suffixes: domains below which strangers register names, so that none of them may set a cookie for all.

The list is that of publicsuffix.org, as the package ``publicsuffixlist`` carries it. Its own reader takes 100 ms, in
which the loop would stand still; to tell whether a domain is a suffix takes a set of lines and three look-ups in it.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["is_public_suffix"]


def is_public_suffix(domain: str) -> bool:
    """Whether *domain* is a public suffix: ``com``, ``co.uk``, ``github.io``; a single label is one.

    Args:
        domain: In lower case, international labels as ``xn--``; no address.

    Source: https://github.com/publicsuffix/list/wiki/Format: an exception beats a rule, ``*`` stands for one label.
    """
    domain = domain.removesuffix(".")
    _, dot, above = domain.partition(".")
    if not dot:
        return True
    rules = _rules()
    if "xn--" in domain:
        domain = _international(domain)
        above = domain.partition(".")[2]
    return f"!{domain}" not in rules and (domain in rules or f"*.{above}" in rules)


@lru_cache(maxsize=1)
def _rules() -> frozenset[str]:
    """The rules of the list, a line each; 4 ms, once."""
    from importlib import resources  # 2 ms, for those who are sent a cookie for a whole domain

    text = resources.files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("//"))


def _international(domain: str) -> str:
    """*domain* as the list writes it; labels that are no punycode stay."""
    labels = []
    for label in domain.split("."):
        try:
            labels.append(label[4:].encode().decode("punycode") if label.startswith("xn--") else label)
        except UnicodeError:
            labels.append(label)
    return ".".join(labels)
