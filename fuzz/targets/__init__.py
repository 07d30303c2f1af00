"""One file a parser: how inputs are made, and what must hold for each of them (the first comment of the file)."""

from . import (
    bodies,
    br_zstd,
    challenges,
    chunked,
    codings,
    content_types,
    cookie_dates,
    digest_fields,
    fast_heads,
    field_parameters,
    heads,
    locations,
    manifests,
    multiparts,
    names,
    proxy_urls,
    sessions,
    set_cookie,
    sidecars,
    urls,
)

__all__ = ["TARGETS"]

_MODULES = (
    heads,
    fast_heads,
    chunked,
    codings,
    br_zstd,
    content_types,
    field_parameters,
    bodies,
    set_cookie,
    cookie_dates,
    urls,
    locations,
    challenges,
    digest_fields,
    multiparts,
    proxy_urls,
    sessions,
    names,
    sidecars,
    manifests,
)

TARGETS = {module.TARGET.name: module.TARGET for module in _MODULES}
