"""The command line as Typer sees it: commands, their help, and ``main``, which makes an exit code of whatever happens.

Nothing of the engine is imported before a command is to do its work: help answers in the time Typer takes. So the
modules that do the work are imported inside the functions, and a test looks at what help has imported.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Annotated, Any, Final

import typer

from . import declarations as given
from . import mirror_declarations as sending
from .exit_codes import ExitCode
from .groups import of_config, of_mirror, of_network, of_quiet, of_run, of_voice, raw_of, takes
from .plain import PlainCommand, PlainGroup

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
    add_completion=True,
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


def _command(function: Callable[..., int], *groups: Callable[..., None], but: tuple[str, ...] = ()) -> None:
    app.command(cls=PlainCommand, context_settings=dict(_CONTEXT))(takes(function, *groups, but=but))


def run(**options: Any) -> int:
    """Download every item of a manifest.

    Run it again on the same folder to go on: what is done is skipped, what broke off is resumed, what failed is
    tried again. Blank lines of the manifest and those that begin with # are passed over.

    \b
    Example:  fetchd run urls.txt -o files
              grep pdf$ urls.txt | fetchd run - --profile lan -j 16
    """
    from .options import RawRun
    from .run_command import run_manifest

    return run_manifest(raw_of(RawRun, options))


_command(run, of_run, of_network, of_voice, of_config)


# What a run over what failed has from its folder.
_NOT_OF_RETRY: Final = (
    "manifest",
    "output",
    "name",
    "existing",
    "ledger",
    "trust_ledger",
    "format",
    "expand",
    "spider",
)


def retry(folder: given.Folder, classes: given.Classes = None, **options: Any) -> int:
    """Try again what failed in a folder.

    The items are those of its ledger, named as they were; the manifest is not needed. Passwords and the request fields
    of a manifest are not in the ledger: give them again.

    \b
    Example:  fetchd retry files --class http-5xx --class timeout-idle --retries 10
    """
    from .options import RawRun
    from .retry_command import retry_folder

    return retry_folder(raw_of(RawRun, {"manifest": "-", "output": folder, **options}), tuple(classes or ()))


_command(retry, of_run, of_network, of_voice, of_config, but=_NOT_OF_RETRY)


# A mirror has no files that could have names, or be there already; its folder has another default.
_NOT_OF_MIRROR: Final = ("output", "name", "existing", "trust_ledger", "segments", "spider", "on_done", "decode")


def mirror(output: sending.Output = None, **options: Any) -> int:
    """Get every item of a manifest and send it on, a download chained into an upload.

    Nothing is stored; the slower side sets the pace. A source that drops is asked to go on and feeds the same upload.
    Run it again on the same folder to go on: what was sent is skipped, what failed is tried again.

    \b
    Example:  fetchd mirror urls.txt --to 'https://dst.example/in/{path}'
              fetchd mirror urls.txt --to http://dst.example/up --field file --to-auth @secret
    """
    from .mirror_command import mirror_manifest
    from .mirror_options import RawMirror

    return mirror_manifest(raw_of(RawMirror, {"output": output, **options}))


_command(mirror, of_mirror, of_run, of_network, of_voice, of_config, but=_NOT_OF_MIRROR)


def get(
    urls: given.Urls,
    output: given.OutputFile = None,
    by_name: given.RemoteName = False,
    force: given.Force = False,
    **options: Any,
) -> int:
    """Download one URL or a few, to standard output or to files.

    For a handful of URLs without a ledger: the octets as the server sent them, nothing when the status is an error,
    and a body that is cut off is gone on with or is an error.

    \b
    Example:  fetchd get https://example.org/a.tar | tar x
              fetchd get -O https://example.org/a.iso https://example.org/b.iso
    """
    from .get_command import get_urls
    from .options import RawGet

    own = {"urls": urls, "output": output, "by_name": by_name, "force": force}
    return get_urls(raw_of(RawGet, {**own, **options}))


_command(get, of_network, of_quiet, of_config)


def plan(
    manifest: given.Manifest,
    sample: given.Sample = None,
    format: given.Format = None,
    expand: given.Expand = False,
    name: given.Name = None,
    concurrency: given.Concurrency = None,
    per_host: given.PerHost = None,
    rate: given.Rate = None,
    per_host_rate: given.PerHostRate = None,
    profile: given.Profile = None,
    json: given.StatusJson = False,
    **options: Any,
) -> int:
    """Say what a manifest holds, before it is run; nothing is fetched.

    Items, bad lines, duplicates, colliding names, octets, hosts, and the host that would bind the run. With --sample
    some items are asked for their size. The exit code is 1 where lines are bad or names collide.

    \b
    Example:  fetchd plan urls.csv --per-host 2
              fetchd plan urls.txt --sample 200
    """
    from .options import RawRun
    from .plan_command import tell_plan

    own = {"manifest": manifest, "format": format, "expand": expand, "name": name, "concurrency": concurrency}
    own |= {"per_host": per_host, "rate": rate, "per_host_rate": per_host_rate, "profile": profile}
    return tell_plan(raw_of(RawRun, {**own, **options}), sample=sample, as_json=json)


# A plan tries nothing again and takes no content.
_command(plan, of_network, but=("retries", "max_bytes", "decode", "low_speed", "save_cookies"))


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
    # What is imported next stays: to collect in the midst of it finds nothing, and takes 4 ms of 100.
    gc.set_threshold(50_000, 20, 50)
    try:
        return _flushed(_answer(arguments))
    except KeyboardInterrupt:  # before or after the time in which a command minds its signals itself
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _let_go_of_output()


def _answer(arguments: Sequence[str] | None) -> int:
    given_arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        commands = typer.main.get_command(_part_for(given_arguments[:1]))
        code = commands.main(given_arguments, prog_name=PROGRAM, standalone_mode=False)
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


def every_command() -> Mapping[str, Any]:
    """All commands by their names, made for who must know what each takes."""
    commands: Mapping[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009  # of a group alone
    return commands


def _part_for(names: Sequence[str]) -> typer.Typer:
    """Return *app* with the one command that is asked for: Typer takes 7 ms to make all of them, and 2 for this one.

    Args:
        names: The first word of the command line, if there is one. Where it is no command, all of *app* says so.
    """
    asked = [command for command in app.registered_commands if command.callback and command.callback.__name__ in names]
    if not asked:
        return app
    part = copy(app)
    part.registered_commands = asked
    return part


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
