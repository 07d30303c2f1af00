"""The options that ``fetchd mirror`` has besides those of ``run``, as Typer declares them. No behaviour."""

from __future__ import annotations

from typing import Annotated

import typer

Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="DIR", help="Keep the ledger in this folder (folder; default mirror)."),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TEMPLATE",
        help="Send each body to the URL, or s3://BUCKET/KEY, that this makes of its own, with {host} {port} {path} "
        "{dir} {basename} {stem} {ext} {query} (template; default none).",
    ),
]
Method = Annotated[
    str | None, typer.Option("--method", metavar="METHOD", help="Send by PUT or POST (word; default PUT).")
]
Field = Annotated[
    str | None,
    typer.Option("--field", metavar="NAME", help="Post it as this field of a form, a file (name; default none)."),
]
ToHeader = Annotated[
    list[str] | None,
    typer.Option(
        "--to-header",
        metavar="FIELD",
        help="Send 'Name: value' to every destination, or the lines of @FILE; repeatable (field; default none).",
    ),
]
ToAuth = Annotated[
    str | None,
    typer.Option(
        "--to-auth",
        metavar="USER:PASSWORD",
        help="Authenticate to the destinations by Basic, also from @FILE (text; default none).",
    ),
]
ToProxy = Annotated[
    str | None,
    typer.Option("--to-proxy", metavar="URL", help="Go to the destinations by this proxy (address; default none)."),
]
ToUnixSocket = Annotated[
    str | None,
    typer.Option(
        "--to-unix-socket",
        metavar="PATH",
        help="Connect here, whatever host the destination names (socket; default none).",
    ),
]
ToCaCert = Annotated[
    str | None,
    typer.Option(
        "--to-cacert",
        metavar="FILE",
        help="Trust these certificates only at the destinations, PEM (file; default the system's).",
    ),
]
ToInsecure = Annotated[
    bool, typer.Option("--to-insecure", help="Accept any certificate of a destination (flag; default off).")
]
ToPerHost = Annotated[
    str | None,
    typer.Option(
        "--to-per-host", metavar="N", help="Send at most so many at a time to one host (items; default --per-host)."
    ),
]
IfAbsent = Annotated[
    bool, typer.Option("--if-absent", help="Leave alone what is there already, If-None-Match (flag; default off).")
]
SkipSame = Annotated[
    str | None,
    typer.Option(
        "--skip-same",
        metavar="BY",
        help="Skip what has the same length, etag or digest at both ends, by HEAD (word; default none).",
    ),
]
Tee = Annotated[
    str | None,
    typer.Option("--tee", metavar="DIR", help="Keep a copy of each body below this folder (folder; default none)."),
]
Spool = Annotated[
    bool,
    typer.Option("--spool", help="Store a body of unknown length first, to send it with one (flag; default off)."),
]
MkCol = Annotated[
    bool, typer.Option("--mkcol", help="Make the collections of a WebDAV server by MKCOL (flag; default off).")
]
SendDigest = Annotated[
    bool,
    typer.Option(
        "--send-digest",
        help="Send the digest of --checksum, or SHA-256, in a trailer, Repr-Digest (flag; default off).",
    ),
]
S3Endpoint = Annotated[
    str | None,
    typer.Option(
        "--s3-endpoint", metavar="URL", help="Ask this store for an s3:// destination (address; default Amazon's)."
    ),
]
S3PartSize = Annotated[
    str | None,
    typer.Option(
        "--s3-part-size",
        metavar="SIZE",
        help="Send bodies of more than four times this in parts, one of them in memory (octets; default 16MiB).",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only write what would be sent where, a line each (flag; default off).")
]
