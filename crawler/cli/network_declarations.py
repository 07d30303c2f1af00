"""The options about the way to the hosts as Typer declares them; see ``declarations.py``. No behaviour."""

from __future__ import annotations

from typing import Annotated

import typer

Proxy = Annotated[
    str | None,
    typer.Option("--proxy", metavar="URL", help="Send all through this proxy (url; default of the environment)."),
]
NoProxy = Annotated[
    str | None,
    typer.Option(
        "--no-proxy",
        metavar="LIST",
        help="Go directly to these hosts, addresses and ranges, with commas (list; default NO_PROXY, but for --proxy).",
    ),
]
MaxRedirects = Annotated[
    str | None,
    typer.Option("--max-redirects", metavar="N", help="Follow at most so many (redirections; default 10)."),
]
IPv4 = Annotated[bool, typer.Option("-4", "--ipv4", help="Connect by IPv4 only (flag; default off).")]
IPv6 = Annotated[bool, typer.Option("-6", "--ipv6", help="Connect by IPv6 only (flag; default off).")]
Resolve = Annotated[
    list[str] | None,
    typer.Option(
        "--resolve",
        metavar="HOST:PORT:ADDRESS",
        help="Connect there for this host and port; repeatable (address; default none).",
    ),
]
Interface = Annotated[
    str | None,
    typer.Option("--interface", metavar="NAME", help="Connect from this interface or address (name; default any)."),
]
Cert = Annotated[
    str | None,
    typer.Option("--cert", metavar="FILE", help="Show this client certificate, PEM (file; default none)."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="FILE", help="Take the key of --cert from here, PEM (file; default --cert)."),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="[HOST=]SHA256",
        help="Trust this one certificate alone, everywhere or of HOST[:PORT]; repeatable (digest; default none).",
    ),
]
Auth = Annotated[
    str | None,
    typer.Option(
        "--auth", metavar="WHO", help="Log in as USER:PASSWORD, or what @FILE says (credentials; default none)."
    ),
]
Netrc = Annotated[bool, typer.Option("--netrc", help="Log in as the netrc file says (flag; default off).")]
Cookies = Annotated[
    str | None,
    typer.Option("--cookies", metavar="FILE", help="Send the cookies of this file (file; default none)."),
]
SaveCookies = Annotated[
    str | None,
    typer.Option("--save-cookies", metavar="FILE", help="Write the cookies here at the end (file; default none)."),
]
LowSpeed = Annotated[
    str | None,
    typer.Option(
        "--low-speed",
        metavar="SIZE:TIME",
        help="Give up content slower than this a second, on average of the time (speed; default none).",
    ),
]
