"""``cli/options.py``: from options as typed to settings, without touching the world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fetchd.crawler.cli.limit_options import RawLimits
from fetchd.crawler.cli.options import GetOrder, RawGet, RawRun, RunOrder, Voice, get_order, run_order
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.limits import Limits
from fetchd.jobs.settings import RunSettings

URL = "http://h.test/a/b.txt"


def read_nothing(name: str) -> str:
    """No file is to be read."""
    raise AssertionError(name)


def ordered(**options: Any) -> RunOrder:
    """The order of ``fetchd run list.txt`` with *options*."""
    return run_order(RawRun(**{"manifest": "list.txt", **options}), read_nothing)


def get(*urls: str, **options: Any) -> GetOrder:
    """The order of ``fetchd get`` with *options*."""
    return get_order(RawGet(urls=urls or (URL,), **options), read_nothing)


def test_without_options_the_defaults_of_a_run_hold() -> None:
    """There is one place for defaults, and it is not here."""
    assert ordered() == RunOrder(settings=RunSettings(manifest="list.txt"))


def test_every_option_reaches_its_setting() -> None:
    """Parsed, with its unit."""
    settings = ordered(
        output="out",
        concurrency="8",
        per_host="2",
        on_collision="number",
        timeout="1m",
        connect_timeout="500ms",
        idle_timeout="5",
        retries="0",
        max_bytes="1KiB",
        header=("X-A: 1", "X-A: 2"),
        user_agent="me/1",
        unix_socket="/run/s",
        cacert="ca.pem",
    ).settings
    assert settings == RunSettings(
        manifest="list.txt",
        output=Path("out"),
        concurrency=8,
        per_host=2,
        on_collision="number",
        timeout=60.0,
        connect_timeout=0.5,
        first_byte_timeout=5.0,
        idle_timeout=5.0,
        retries=0,
        max_bytes=1024,
        headers=(("X-A", "1"), ("X-A", "2")),
        user_agent="me/1",
        unix_socket=Path("/run/s"),
        cacert=Path("ca.pem"),
    )
    assert ordered(insecure=True).settings.insecure


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, None), ({"idle_timeout": "60"}, 60.0), ({"connect_timeout": "10s"}, 10.0), ({"connect_timeout": "2s"}, None)],
)
def test_who_asks_for_patience_means_the_first_answer_too(options: dict[str, str], seconds: float | None) -> None:
    """Else a host that never answered is given up sooner than the option says."""
    assert ordered(**options).settings.first_contact == seconds


@pytest.mark.parametrize(
    ("options", "per_host"),
    [
        ({}, 6),
        ({"profile": "default"}, 6),
        ({"profile": "lan"}, 64),
        ({"profile": "lan", "concurrency": "9"}, 9),
        ({"profile": "lan", "per_host": "3"}, 3),
    ],
)
def test_the_lan_profile_gives_one_host_everything_unless_told_otherwise(
    options: dict[str, str], per_host: int
) -> None:
    """No politeness, nothing else."""
    assert ordered(**options).settings.per_host == per_host


@pytest.mark.parametrize(
    ("options", "per_host", "rate"),
    [
        ({}, 1, 1.0),
        ({"per_host": "4"}, 4, 1.0),
        ({"limits": RawLimits(per_host_rate="10/m")}, 1, 1 / 6),
    ],
)
def test_the_polite_profile_is_one_request_a_second_unless_told_otherwise(
    options: dict[str, Any], per_host: int, rate: float
) -> None:
    """And it says what it does not do."""
    order = ordered(profile="polite", **options)
    assert (order.settings.per_host, order.settings.limits.per_host_rate) == (per_host, rate)
    assert order.notes == ("polite: one request a second to a host, one at a time; robots.txt is not looked at",)
    assert ordered(profile="lan").notes == ()


def test_every_limit_reaches_its_setting() -> None:
    """Parsed, with its unit."""
    raw = RawLimits(
        rate="5", per_host_rate="30/m", bandwidth="2MiB/s", max_failures="3", max_total_bytes="1GiB", max_time="2h"
    )
    assert ordered(limits=raw).settings.limits == Limits(
        rate=5.0, per_host_rate=0.5, bandwidth=2 << 20, max_failures=3, max_total_bytes=1 << 30, max_time=7200.0
    )


@pytest.mark.parametrize(
    ("options", "voice", "json", "progress"),
    [
        ({}, Voice.NORMAL, False, True),
        ({"quiet": True}, Voice.QUIET, False, False),
        ({"verbose": True}, Voice.VERBOSE, False, True),
        ({"no_progress": True}, Voice.NORMAL, False, False),
        ({"json": True}, Voice.NORMAL, True, True),
        ({"json": True, "quiet": True}, Voice.QUIET, True, False),
    ],
)
def test_flags_say_how_much_is_told(options: dict[str, bool], voice: Voice, json: bool, progress: bool) -> None:
    """Being quiet includes progress."""
    order = ordered(**options)
    assert (order.voice, order.json, order.progress) == (voice, json, progress)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"manifest": ""}, "MANIFEST is empty"),
        ({"output": ""}, "--output is ''; expected a path"),
        ({"output": "a\0b"}, "--output is 'a\\x00b'; expected a path"),
        ({"concurrency": "0"}, "--concurrency is '0'; expected a whole number, 1 or more"),
        ({"per_host": "x"}, "--per-host is 'x'; expected a whole number, 1 or more"),
        ({"retries": "-1"}, "--retries is '-1'; expected a whole number, 0 or more"),
        ({"timeout": "soon"}, "--timeout is 'soon'; expected a time such as"),
        ({"connect_timeout": "0"}, "--connect-timeout is '0'; expected a time above 0"),
        ({"idle_timeout": ""}, "--idle-timeout is ''; expected a time"),
        ({"max_bytes": "big"}, "--max-bytes is 'big'; expected a size"),
        ({"on_collision": "erase"}, "--on-collision is 'erase'; expected one of error, skip, number, replace"),
        ({"existing": "skip"}, "--existing is 'skip'; expected one of keep, verify, update, replace"),
        ({"name": "{nothing}"}, "name template '{nothing}': unknown field {nothing}; expected one of"),
        ({"report": "r.txt"}, "r.txt ends in none of .jsonl, .csv, .parquet; expected one of them"),
        ({"profile": "rude"}, "--profile is 'rude'; expected one of polite, default, lan"),
        ({"limits": RawLimits(rate="0")}, "--rate is '0'; expected a rate above 0"),
        ({"limits": RawLimits(per_host_rate="soon")}, "--per-host-rate is 'soon'; expected a rate such as"),
        ({"limits": RawLimits(max_failures="0")}, "--max-failures is '0'; expected a whole number, 1 or more"),
        ({"limits": RawLimits(max_total_bytes="0")}, "--max-total-bytes is '0'; expected a size above 0"),
        ({"limits": RawLimits(max_time="x")}, "--max-time is 'x'; expected a time such as"),
        ({"header": ("x",)}, "--header: expected 'Name: value'"),
        ({"user_agent": "a\nb"}, "control characters in the value of User-Agent"),
        ({"user_agent": "a", "header": ("user-agent: b",)}, "--user-agent and a --header of that name exclude"),
        ({"insecure": True, "cacert": "ca.pem"}, "--insecure and --cacert exclude each other"),
        ({"quiet": True, "verbose": True}, "--quiet and --verbose exclude each other"),
        ({"unix_socket": ""}, "--unix-socket is ''; expected a path"),
    ],
)
def test_what_cannot_be_used_is_told_by_the_name_of_the_option(options: dict[str, Any], message: str) -> None:
    """Which option, what was seen, what is expected."""
    with pytest.raises(SettingsError) as caught:
        ordered(**options)
    assert message in str(caught.value)


def test_fields_are_read_from_a_file(tmp_path: Path) -> None:
    """So that secrets stay out of the list of processes."""
    order = run_order(RawRun(manifest="-", header=("@secret",)), {"secret": "Authorization: Bearer x\n"}.__getitem__)
    assert order.settings.headers == (("Authorization", "Bearer x"),)


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "--header: cannot read .*missing: no such file or directory"), ("binary", "--header: .*utf-8")],
)
def test_a_file_of_fields_that_cannot_be_read_is_told(tmp_path: Path, name: str, message: str) -> None:
    """The reason of the system, or that it is no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=message):
        run_order(RawRun(manifest="-", header=(f"@{tmp_path / name}",)), lambda name: Path(name).read_text("utf-8"))


def test_get_writes_to_standard_output_unless_told_otherwise() -> None:
    """A dash is standard output too."""
    assert get().files is None
    assert get(output="-").files is None
    assert get(URL, "http://h.test/").files is None


def test_get_takes_a_file_name_from_the_option_or_from_the_url() -> None:
    """By the rules of a run: the last part of the safe path."""
    assert get(output="x/y").files == (Path("x/y"),)
    assert get(URL, "http://h.test/", "http://h.test/q?a=1", by_name=True).files == (
        Path("b.txt"),
        Path("index.html"),
        Path("q@824e3ca4"),
    )


def test_get_replaces_the_file_that_was_named_and_others_only_when_told() -> None:
    """Who names a file means it."""
    assert get(output="x").replace
    assert not get(by_name=True).replace
    assert get(by_name=True, force=True).replace


@pytest.mark.parametrize(
    ("urls", "options", "message"),
    [
        (("ftp://h/",), {}, "cannot fetch 'ftp://h/': unknown scheme 'ftp'; expected http or https"),
        (("h.test/a",), {}, "no scheme; expected a URL that begins with http:// or https://"),
        ((URL, "http://u:secret@/"), {}, "cannot fetch 'http:///': no host"),
        ((URL, URL), {"output": "x"}, "--output takes one URL, here are 2; expected --remote-name"),
        ((URL,), {"output": "x", "by_name": True}, "--output and --remote-name exclude each other"),
        ((URL,), {"force": True}, "--force goes with --remote-name only"),
        ((URL,), {"max_bytes": "x"}, "--max-bytes is 'x'"),
    ],
)
def test_get_says_what_it_cannot_do_before_it_begins(
    urls: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    """Also of the last URL of many; without the password in it."""
    with pytest.raises(SettingsError) as caught:
        get(*urls, **options)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_get_has_the_network_settings_of_a_run() -> None:
    """One way to parse them."""
    order = get(retries="1", timeout="2s", insecure=True, quiet=True)
    assert (order.network.retries, order.network.timeout, order.network.insecure) == (1, 2.0, True)
    assert order.voice is Voice.QUIET
