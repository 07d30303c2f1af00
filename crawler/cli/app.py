"""The command line as Typer sees it: commands, their help, and ``main``, which makes an exit code of whatever happens.

Nothing of the engine is imported before a command is to do its work: help answers in the time Typer takes. So the
modules that do the work are imported inside the functions, and a test looks at what help has imported.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from . import declarations as given
from . import mirror_declarations as sending
from . import network_declarations as way
from .exit_codes import ExitCode
from .plain import PlainCommand, PlainGroup

if TYPE_CHECKING:
    from .options import RawRun

__all__ = ["app", "main"]

PROGRAM: Final = "fetchd"

_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
# The class of all that Click says about a command line; Typer has it under no name of its own.
_UsageError: Final[Any] = typer.BadParameter.__base__

_EPILOG: Final = """
\b
Sizes: 500, 10MiB, 1.5GB; K, M and G alone count by 1024.
Times: 1.5s, 500ms, 2m, 1h30m; a number alone is seconds.
Rates: 5, 0.5, 30/m, 100/h; a number alone is for each second.

\b
Exit codes:
  0  every item is done
  1  some items failed or were invalid
  2  usage, settings, unreadable or empty manifest
  3  local failure: disk full, no permission
  4  network unusable: dns, connect or tls, every time
  5  stopped by --max-failures, --max-total-bytes or --max-time
  130, 143  stopped by Ctrl-C, by SIGTERM
"""

app = typer.Typer(
    cls=PlainGroup,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=dict(_CONTEXT),
    epilog=_EPILOG,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from fetchd.client.version import __version__

        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def fetchd(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version (flag; default off)."),
    ] = False,
) -> None:
    """Download many URLs, resume what was interrupted, and account for every one of them.

    Only http and https. Data goes to standard output, all else to standard error.
    """
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(ExitCode.USAGE)


# Typer reads the options off the signatures, so they are as long as the list of options.
def _raw_run(
    manifest: given.Manifest,
    output: given.OutputFolder = None,
    concurrency: given.Concurrency = None,
    per_host: given.PerHost = None,
    rate: given.Rate = None,
    per_host_rate: given.PerHostRate = None,
    bandwidth: given.Bandwidth = None,
    profile: given.Profile = None,
    name: given.Name = None,
    on_collision: given.OnCollision = None,
    existing: given.Existing = None,
    report: given.RunReport = None,
    format: given.Format = None,
    expand: given.Expand = False,
    checksum: given.Checksum = None,
    checksums: given.Checksums = None,
    durability: given.Durability = None,
    timeout: given.Timeout = None,
    connect_timeout: given.ConnectTimeout = None,
    idle_timeout: given.IdleTimeout = None,
    retries: given.Retries = None,
    max_bytes: given.MaxBytes = None,
    max_failures: given.MaxFailures = None,
    max_total_bytes: given.MaxTotalBytes = None,
    max_time: given.MaxTime = None,
    header: given.Header = None,
    user_agent: given.UserAgent = None,
    unix_socket: given.UnixSocket = None,
    cacert: given.CaCert = None,
    insecure: given.Insecure = False,
    proxy: way.Proxy = None,
    max_redirects: way.MaxRedirects = None,
    ipv4: way.IPv4 = False,
    ipv6: way.IPv6 = False,
    resolve: way.Resolve = None,
    interface: way.Interface = None,
    cert: way.Cert = None,
    key: way.Key = None,
    pin: way.Pin = None,
    auth: way.Auth = None,
    netrc: way.Netrc = False,
    cookies: way.Cookies = None,
    save_cookies: way.SaveCookies = None,
    low_speed: way.LowSpeed = None,
    json: given.Json = False,
    no_progress: given.NoProgress = False,
    quiet: given.Quiet = False,
    verbose: given.Verbose = False,
) -> RawRun:
    """Return the options of a run as they were typed."""
    from .limit_options import RawLimits
    from .network_options import RawWay
    from .options import RawRun

    return RawRun(
        manifest=manifest,
        output=output,
        concurrency=concurrency,
        per_host=per_host,
        profile=profile,
        name=name,
        limits=RawLimits(
            rate=rate,
            per_host_rate=per_host_rate,
            bandwidth=bandwidth,
            max_failures=max_failures,
            max_total_bytes=max_total_bytes,
            max_time=max_time,
        ),
        on_collision=on_collision,
        existing=existing,
        report=report,
        format=format,
        expand=expand,
        checksum=checksum,
        checksums=checksums,
        durability=durability,
        timeout=timeout,
        connect_timeout=connect_timeout,
        idle_timeout=idle_timeout,
        retries=retries,
        max_bytes=max_bytes,
        header=tuple(header or ()),
        user_agent=user_agent,
        unix_socket=unix_socket,
        cacert=cacert,
        insecure=insecure,
        way=RawWay(
            proxy=proxy,
            max_redirects=max_redirects,
            ipv4=ipv4,
            ipv6=ipv6,
            resolve=tuple(resolve or ()),
            interface=interface,
            cert=cert,
            key=key,
            pin=pin,
            auth=auth,
            netrc=netrc,
            cookies=cookies,
            save_cookies=save_cookies,
            low_speed=low_speed,
        ),
        json=json,
        no_progress=no_progress,
        quiet=quiet,
        verbose=verbose,
    )


def _with_options_of(command: Callable[..., int], but: tuple[str, ...] = ()) -> None:
    """Have *command*, which takes any options, take those of a run but for some: Typer reads the signature."""
    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "options"]
    options = inspect.signature(_raw_run, locals={"RawRun": object}, eval_str=True).parameters.values()
    others = [each for each in options if each.name not in but]
    command.__signature__ = inspect.Signature([*own, *others])  # type: ignore[attr-defined]
    app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))(command)


def run(**options: Any) -> int:
    """Download every item of a manifest.

    Run it again on the same folder to go on: what is done is skipped, what broke off is resumed, what failed is
    tried again. Blank lines of the manifest and those that begin with # are passed over.

    \b
    Example:  fetchd run urls.txt -o files
              grep pdf$ urls.txt | fetchd run - --profile lan -j 16
    """
    from .run_command import run_manifest

    return run_manifest(_raw_run(**options))


_with_options_of(run)


# What a run over what failed has from its folder.
_NOT_OF_RETRY: Final = ("manifest", "output", "name", "existing", "format", "expand")


def retry(folder: given.Folder, classes: given.Classes = None, **options: Any) -> int:
    """Try again what failed in a folder.

    The items are those of its ledger, named as they were; the manifest is not needed. Passwords and the request fields
    of a manifest are not in the ledger: give them again.

    \b
    Example:  fetchd retry files --class http-5xx --class timeout-idle --retries 10
    """
    from .retry_command import retry_folder

    return retry_folder(_raw_run(manifest="-", output=folder, **options), tuple(classes or ()))


_with_options_of(retry, _NOT_OF_RETRY)


# A mirror has no files that could have names, or be there already.
_NOT_OF_MIRROR: Final = ("manifest", "output", "name", "existing")


def mirror(
    manifest: given.Manifest,
    to: sending.To,
    output: sending.Output = None,
    method: sending.Method = None,
    field: sending.Field = None,
    to_header: sending.ToHeader = None,
    to_auth: sending.ToAuth = None,
    to_proxy: sending.ToProxy = None,
    to_unix_socket: sending.ToUnixSocket = None,
    to_cacert: sending.ToCaCert = None,
    to_insecure: sending.ToInsecure = False,
    to_per_host: sending.ToPerHost = None,
    if_absent: sending.IfAbsent = False,
    skip_same: sending.SkipSame = None,
    tee: sending.Tee = None,
    spool: sending.Spool = False,
    mkcol: sending.MkCol = False,
    send_digest: sending.SendDigest = False,
    s3_endpoint: sending.S3Endpoint = None,
    s3_part_size: sending.S3PartSize = None,
    dry_run: sending.DryRun = False,
    **options: Any,
) -> int:
    """Get every item of a manifest and send it on, a download chained into an upload.

    Nothing is stored; the slower side sets the pace. A source that drops is asked to go on and feeds the same upload.
    Run it again on the same folder to go on: what was sent is skipped, what failed is tried again.

    \b
    Example:  fetchd mirror urls.txt --to 'https://dst.example/in/{path}'
              fetchd mirror urls.txt --to http://dst.example/up --field file --to-auth @secret
    """
    from .mirror_command import mirror_manifest
    from .mirror_options import RawMirror

    return mirror_manifest(
        RawMirror(
            run=_raw_run(manifest=manifest, output=output, **options),
            to=to,
            method=method,
            field=field,
            to_header=tuple(to_header or ()),
            to_auth=to_auth,
            to_proxy=to_proxy,
            to_unix_socket=to_unix_socket,
            to_cacert=to_cacert,
            to_insecure=to_insecure,
            to_per_host=to_per_host,
            if_absent=if_absent,
            skip_same=skip_same,
            tee=tee,
            spool=spool,
            mkcol=mkcol,
            send_digest=send_digest,
            s3_endpoint=s3_endpoint,
            s3_part_size=s3_part_size,
            dry_run=dry_run,
        )
    )


_with_options_of(mirror, _NOT_OF_MIRROR)


@app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))
def get(
    urls: given.Urls,
    output: given.OutputFile = None,
    remote_name: given.RemoteName = False,
    force: given.Force = False,
    timeout: given.Timeout = None,
    connect_timeout: given.ConnectTimeout = None,
    idle_timeout: given.IdleTimeout = None,
    retries: given.Retries = None,
    max_bytes: given.MaxBytes = None,
    header: given.Header = None,
    user_agent: given.UserAgent = None,
    unix_socket: given.UnixSocket = None,
    cacert: given.CaCert = None,
    insecure: given.Insecure = False,
    proxy: way.Proxy = None,
    max_redirects: way.MaxRedirects = None,
    ipv4: way.IPv4 = False,
    ipv6: way.IPv6 = False,
    resolve: way.Resolve = None,
    interface: way.Interface = None,
    cert: way.Cert = None,
    key: way.Key = None,
    pin: way.Pin = None,
    auth: way.Auth = None,
    netrc: way.Netrc = False,
    cookies: way.Cookies = None,
    save_cookies: way.SaveCookies = None,
    low_speed: way.LowSpeed = None,
    quiet: given.Quiet = False,
) -> int:
    """Download one URL or a few, to standard output or to files.

    For a handful of URLs without a ledger: the octets as the server sent them, nothing when the status is an error,
    and a body that is cut off is gone on with or is an error.

    \b
    Example:  fetchd get https://example.org/a.tar | tar x
              fetchd get -O https://example.org/a.iso https://example.org/b.iso
    """
    from .get_command import get_urls
    from .network_options import RawWay
    from .options import RawGet

    return get_urls(
        RawGet(
            urls=tuple(urls),
            output=output,
            by_name=remote_name,
            force=force,
            timeout=timeout,
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            retries=retries,
            max_bytes=max_bytes,
            header=tuple(header or ()),
            user_agent=user_agent,
            unix_socket=unix_socket,
            cacert=cacert,
            insecure=insecure,
            way=RawWay(
                proxy=proxy,
                max_redirects=max_redirects,
                ipv4=ipv4,
                ipv6=ipv6,
                resolve=tuple(resolve or ()),
                interface=interface,
                cert=cert,
                key=key,
                pin=pin,
                auth=auth,
                netrc=netrc,
                cookies=cookies,
                save_cookies=save_cookies,
                low_speed=low_speed,
            ),
            quiet=quiet,
        )
    )


@app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))
def plan(
    manifest: given.Manifest,
    format: given.Format = None,
    expand: given.Expand = False,
    name: given.Name = None,
    concurrency: given.Concurrency = None,
    per_host: given.PerHost = None,
    profile: given.Profile = None,
    json: given.StatusJson = False,
) -> int:
    """Say what a manifest holds, before it is run; nothing is fetched.

    Items, bad lines, duplicates, colliding names, hosts, and the host that would bind the run. The exit code is 1
    where lines are bad or names collide.

    \b
    Example:  fetchd plan urls.csv --per-host 2
    """
    from .options import RawRun
    from .plan_command import tell_plan

    raw = RawRun(
        manifest=manifest,
        format=format,
        expand=expand,
        name=name,
        concurrency=concurrency,
        per_host=per_host,
        profile=profile,
    )
    return tell_plan(raw, as_json=json)


@app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))
def status(folder: given.Folder, json: given.StatusJson = False) -> int:
    """Say where the run in a folder stands, also while it goes on.

    Counts what is done, failed and unfinished, and names what to do next. It only reads.

    \b
    Example:  fetchd status files
    """
    from .status_command import tell_status

    return tell_status(folder, as_json=json)


@app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))
def report(
    folder: given.Folder,
    format: given.ReportFormat = None,
    output: given.ReportFile = None,
    redact: given.Redact = False,
) -> int:
    """Write what happened to each item of a folder, a row each, also while the run goes on.

    Columns: url, final_url, path, state, status, class, message, bytes, digest, attempts, started, seconds, etag,
    last_modified. It only reads.

    \b
    Example:  fetchd report files --format csv > files.csv
              fetchd report files -o files.parquet
    """
    from .report_command import tell_report

    return tell_report(folder, format=format, output=output, redact=redact)


@app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))
def verify(
    folder: given.Folder,
    jobs: given.VerifyJobs = None,
    requeue: given.Requeue = False,
    json: given.VerifyJson = False,
) -> int:
    """Compare the files of a folder with what the ledger says of them.

    Hashes each file of which a digest is kept, looks at the size of the others, and says which it did. What is bad
    goes to standard output, a line each; then the exit code is 1.

    \b
    Example:  fetchd verify files --requeue
    """
    from .verify_command import tell_verify

    return tell_verify(folder, threads=jobs, requeue=requeue, as_json=json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see ``exit_codes.py``).

    Args:
        arguments: Without the program's name; None takes those of the process.
    """
    try:
        return _flushed(_answer(arguments))
    except KeyboardInterrupt:  # before or after the time in which a command minds its signals itself
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _let_go_of_output()


def _answer(arguments: Sequence[str] | None) -> int:
    try:
        code = typer.main.get_command(app).main(
            None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False
        )
    except _UsageError as exc:
        print(f"{PROGRAM}: {_usage(exc)}", file=sys.stderr)
        return ExitCode.USAGE
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # Click's own answer to a reader that left is 1
            raise exc.__context__ from None
        raise
    return int(code or 0)


def _usage(exc: Any) -> str:
    """One line on what is wrong with a command line, and where to look."""
    context = exc.ctx
    where = PROGRAM if context is None else context.command_path
    told = exc.format_message().strip().rstrip(".")
    return f"{told[:1].lower()}{told[1:]} (see {where} --help)"


def _flushed(code: int) -> int:
    """Write out what is held back while an error can still be answered."""
    sys.stdout.flush()
    return code


def _let_go_of_output() -> int:
    """The reader of our output has left, which is its right: no error, and nothing more is written."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return ExitCode.DONE
