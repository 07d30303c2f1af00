"""The options of the commands as Typer declares them: names, what stands for the value, help. No behaviour.

All values are text (or None where not given) and flags; ``options.py`` knows what they mean. Every help is one line in
the imperative that ends with unit and default, which arguments have none of; a test holds them to it, and to the
defaults of ``RunSettings``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .config import read_config

Manifest = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST",
        help="Read items from this file or URL, a URL a line; - is standard input (file).",
    ),
]
Urls = Annotated[list[str], typer.Argument(metavar="URL", help="Fetch these, in this order (URLs).")]
Folder = Annotated[str, typer.Argument(metavar="DIR", help="Look at the run in this output folder (folder).")]

OutputFolder = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="DIR", help="Store the files below this folder (folder; default downloads)."
    ),
]
OutputFile = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write to this file, replacing it (file; default - for standard output)."
    ),
]
RemoteName = Annotated[
    bool, typer.Option("-O", "--remote-name", help="Write to files named as in the URLs, here (flag; default off).")
]
Force = Annotated[
    bool, typer.Option("--force", help="Let --remote-name replace files that are there (flag; default off).")
]

Concurrency = Annotated[
    str | None,
    typer.Option("-j", "--concurrency", metavar="N", help="Fetch at most so many items at a time (items; default 64)."),
]
PerHost = Annotated[
    str | None,
    typer.Option("--per-host", metavar="N", help="Fetch at most so many at a time from one host (items; default 6)."),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Take 'default', 'polite' (one a second and host) or 'lan' (no bound a host) (name; default default).",
    ),
]
Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="N",
        help="Ask so many items without a size for theirs, by HEAD, and estimate the octets of all (items; default 0).",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="CLASS", help="Take only what failed as this; repeatable (class; default all)."),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="TEMPLATE", help="Name files by this (template; default {host}/{path})."),
]
Existing = Annotated[
    str | None,
    typer.Option(
        "--existing",
        metavar="WHAT",
        help="Treat what is done by this: keep, verify, update or replace (word; default keep).",
    ),
]
Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="FILE",
        help="Keep a new folder's ledger in this file (file; default .fetchd/ledger.sqlite3 in the folder).",
    ),
]
TrustLedger = Annotated[
    bool,
    typer.Option("--trust-ledger", help="Look at no file of what the ledger calls done (flag; default off)."),
]
RunReport = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write the report here at the end: .jsonl, .csv, .parquet (file; default none).",
    ),
]
Segments = Annotated[
    str | None,
    typer.Option(
        "--segments", metavar="N", help="Fetch one large body by up to so many connections (connections; default 1)."
    ),
]
Rate = Annotated[
    str | None,
    typer.Option("--rate", metavar="R", help="Send at most so many requests a second (rate; default none)."),
]
PerHostRate = Annotated[
    str | None,
    typer.Option(
        "--per-host-rate", metavar="R", help="Send one host at most so many requests a second (rate; default none)."
    ),
]
Bandwidth = Annotated[
    str | None,
    typer.Option("--bandwidth", metavar="SIZE", help="Take at most so much a second, over all (size; default none)."),
]
MaxFailures = Annotated[
    str | None,
    typer.Option("--max-failures", metavar="N", help="Stop when so many items have failed (items; default none)."),
]
MaxTotalBytes = Annotated[
    str | None,
    typer.Option("--max-total-bytes", metavar="SIZE", help="Stop when so much has come (size; default none)."),
]
MaxTime = Annotated[
    str | None, typer.Option("--max-time", metavar="TIME", help="Stop after this long (time; default none).")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Read MANIFEST as plain, aria2, csv, tsv, tsvhttpdata, jsonl, parquet or metalink"
        " (name; default by content and name).",
    ),
]
Spider = Annotated[
    bool,
    typer.Option("--spider", help="Only ask whether it is there, by HEAD; keep nothing (flag; default off)."),
]
Decode = Annotated[
    bool,
    typer.Option("--decode", help="Ask for compressed content and store it decoded (flag; default off)."),
]
OnDone = Annotated[
    str | None,
    typer.Option(
        "--on-done",
        metavar="COMMAND",
        help="Run this for each file that is done; {path}, {url}, {size}, {digest} are its (command; default none).",
    ),
]
LogFile = Annotated[
    str | None,
    typer.Option(
        "--log-file", metavar="FILE", help="Append what happens to this file, with the time (file; default none)."
    ),
]
Expand = Annotated[
    bool,
    typer.Option("--expand", help="Let [001-100] and {a,b} in a URL stand for many URLs (flag; default off)."),
]
OnCollision = Annotated[
    str | None,
    typer.Option(
        "--on-collision",
        metavar="WHAT",
        help="Treat an item whose file is taken: error, skip, number or replace (word; default error).",
    ),
]
Checksum = Annotated[
    str | None,
    typer.Option(
        "--checksum", metavar="ALG", help="Hash every file by this and keep the digest (algorithm; default none)."
    ),
]
Checksums = Annotated[
    str | None,
    typer.Option(
        "--checksums",
        metavar="FILE",
        help="Hold files to the digests of this list, as SHA256SUMS (file; default none).",
    ),
]
Durability = Annotated[
    str | None,
    typer.Option(
        "--durability",
        metavar="WHAT",
        help="Have what is done survive a kill of the process, or a loss of power (word; default process).",
    ),
]

Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help="Give up an attempt as a whole after this long (time; default none)."
    ),
]
ConnectTimeout = Annotated[
    str | None,
    typer.Option(
        "--connect-timeout", metavar="TIME", help="Give up connecting, DNS and TLS included (time; default 30s)."
    ),
]
IdleTimeout = Annotated[
    str | None,
    typer.Option(
        "--idle-timeout", metavar="TIME", help="Give up when no octet comes for this long (time; default 60s)."
    ),
]
Retries = Annotated[
    str | None,
    typer.Option(
        "--retries", metavar="N", help="Try again so many times after a failure that may pass (attempts; default 4)."
    ),
]
MaxBytes = Annotated[
    str | None, typer.Option("--max-bytes", metavar="SIZE", help="Refuse bodies larger than this (size; default none).")
]
Header = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="FIELD",
        help="Send 'Name: value' to every host, or the lines of @FILE; repeatable (field; default none).",
    ),
]
UserAgent = Annotated[
    str | None,
    typer.Option(
        "--user-agent", metavar="TEXT", help="Send this as User-Agent (text; default fetchd and its version)."
    ),
]
UnixSocket = Annotated[
    str | None,
    typer.Option(
        "--unix-socket", metavar="PATH", help="Connect here, whatever host the URL names (socket; default none)."
    ),
]
CaCert = Annotated[
    str | None,
    typer.Option("--cacert", metavar="FILE", help="Trust these certificates only, PEM (file; default the system's)."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept any certificate: anybody may answer (flag; default off).")
]

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=read_config,
        help="Take options from this file, TOML; /dev/null has none (file; default fetchd.toml, if it is here).",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write events to standard output, a line of JSON each (flag; default off).")
]
StatusJson = Annotated[
    bool, typer.Option("--json", help="Write one object of JSON instead of words (flag; default off).")
]
ReportFormat = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="Write jsonl, csv or parquet (name; default by --output's ending, or jsonl)."
    ),
]
ReportFile = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write to this file, replacing it (file; default - for standard output)."
    ),
]
Redact = Annotated[bool, typer.Option("--redact", help="Leave out the queries of URLs (flag; default off).")]
VerifyJobs = Annotated[
    str | None,
    typer.Option("-j", "--jobs", metavar="N", help="Hash so many files at a time (files; default the processors)."),
]
Requeue = Annotated[bool, typer.Option("--requeue", help="Put what is bad back to be fetched (flag; default off).")]
VerifyJson = Annotated[
    bool, typer.Option("--json", help="Write an object of JSON a line instead of words (flag; default off).")
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress (flag; default off).")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say only what ends the command early (flag; default off).")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Name each item that failed (flag; default off).")]
