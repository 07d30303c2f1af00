"""The classes of defect that other clients had, each with the tests that show that this one has it not.

``DEFECT_CLASSES`` is the table. Most of its tests stand with the module that they are about; here are those that need
the whole client.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fetchd.client import ClientConnectorDNSError, ClientSession, TCPConnector
from fetchd.client.codings import BoundedDecoder
from fetchd.client.exchange import Exchange
from fetchd.client.limits import DECODE_STEP_BYTES, DECODE_STEPS_PER_TURN, INLINE_SAVE_BYTES, SAVE_BUFFER_BYTES
from fetchd.client.resolver import AddrInfo, ThreadedResolver
from tests.support.named_tests import is_test
from tests.support.raw_server import RawConnection, raw_server, reply_with, response


class Defect(NamedTuple):
    """One class of defect.

    Attributes:
        words: What others had.
        proofs: Tests that would fail here if we had it: ``file::name``, the file below ``tests/``.
    """

    words: str
    proofs: tuple[str, ...]


def _in(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{name}" for name in names)


DEFECT_CLASSES = {
    1: Defect(
        "Credentials or cookies leak across origins on redirect, proxy change or netrc; only the first of duplicate"
        " fields removed.",
        (
            *_in(
                "client/test_redirects.py",
                "credentials_and_host_do_not_reach_another_origin_not_even_duplicates",
                "scheme_host_and_effective_port_make_the_origin",
                "an_error_shows_no_credentials_and_not_the_whole_of_a_long_location",
            ),
            *_in(
                "client/test_session.py",
                "secrets_stay_within_their_origin",
                "secrets_do_not_come_back_with_the_way",
                "cookies_of_the_jar_go_where_they_belong_on_each_hop",
            ),
            *_in("client/test_redirect_chains.py", "every_secret_stays_with_its_origin_for_the_whole_chain"),
            *_in("client/test_urls.py", "no_message_and_no_traceback_holds_credentials"),
            *_in(
                "client/test_tunnel.py",
                "credentials_reach_the_proxy_and_nobody_else",
                "proxy_authorization_set_by_hand_reaches_no_origin",
                "no_proxy_is_asked_anew_for_each_redirection",
            ),
            *_in("client/test_proxies.py", "what_is_no_proxy_is_refused_without_its_credentials"),
        ),
    ),
    2: Defect(
        "Body or Content-* fields kept after 303 or a method change.",
        (
            *_in(
                "client/test_redirects.py",
                "method_and_body_by_status",
                "fields_of_the_body_go_when_the_body_goes_not_even_duplicates_stay",
            ),
            *_in("client/test_session.py", "the_method_and_the_body_change_as_told"),
            *_in("client/test_redirect_chains.py", "method_and_content_of_the_next_request"),
        ),
    ),
    3: Defect(
        "Redirect bodies decoded without bound; redirect loops.",
        (
            *_in("client/test_exchange.py", "the_content_of_a_redirection_that_is_followed_is_not_decoded"),
            *_in(
                "client/test_session.py",
                "large_content_of_a_redirection_is_not_waited_for",
                "the_number_of_redirections_is_bounded",
                "the_total_bound_is_for_all_hops_together",
            ),
        ),
    ),
    4: Defect(
        "Decompression bombs: per coding, stacks, 10^5 empty gzip members, the draining path.",
        (
            *_in(
                "client/test_codings.py",
                "a_bomb_is_decoded_in_small_steps_and_little_memory",
                "a_ratio_bound_stops_a_stack_that_multiplies",
                "a_bomb_that_comes_out_as_nothing_is_stopped_and_each_step_is_short",
                "a_hundred_thousand_empty_gzip_members_cost_ten_times_ten_thousand",
                "more_than_five_codings_are_an_error_and_identity_does_not_count",
            ),
            *_in(
                "client/test_exchange.py",
                "a_small_content_that_inflates_is_decoded_as_the_reader_takes_it",
                "a_stack_of_codings_that_inflates_beyond_measure_is_refused",
                "discarded_content_is_not_decoded_and_sets_a_paused_socket_going",
            ),
            *_in(
                "client/test_defects.py",
                "a_bomb_that_nobody_reads_costs_no_memory",
                "a_flood_of_gzip_members_leaves_turns_to_others",
            ),
        ),
    ),
    5: Defect(
        "Unbounded heads, trailers, chunk extensions; limits counted per fragment instead of over the whole.",
        _in(
            "client/test_exchange.py",
            "a_head_of_exactly_the_limit_passes_and_one_octet_more_does_not",
            "a_head_that_does_not_end_is_given_up",
            "interim_responses_without_end_are_given_up",
            "a_head_has_no_more_fields_than_the_limit",
            "a_message_has_no_more_trailers_than_the_limit",
            "a_trailer_section_has_a_limit_whatever_the_content",
            "chunk_extensions_have_a_limit",
        ),
    ),
    6: Defect(
        "10^6 one-byte chunks cost more than linear time or memory.",
        (
            *_in("client/test_exchange.py", "a_hundred_thousand_chunks_of_one_octet_cost_linear_time"),
            *_in("client/test_codings.py", "a_million_feeds_of_one_octet_cost_ten_times_a_hundred_thousand"),
            *_in(
                "client/test_defects.py",
                "ten_times_as_many_chunks_of_one_octet_cost_ten_times_as_much",
                "nothing_is_kept_of_chunks_that_were_taken",
                "tiny_chunks_that_nobody_takes_are_held_as_few_objects",
            ),
        ),
    ),
    7: Defect(
        "Framing: CL with TE, differing duplicate CL, +5, -1, 1_0, Unicode digits, bare LF, bad chunk terminator,"
        " TE not ending in chunked, data after the message.",
        (
            *_in(
                "client/test_exchange.py",
                "fields_that_leave_the_framing_in_doubt_are_refused",
                "chunks_that_leave_the_framing_in_doubt_are_refused",
                "octets_behind_a_message_cost_the_connection_and_nothing_else",
                "any_octets_are_accepted_or_refused_alike_however_they_come",
                "an_ordinary_head_is_read_as_the_parser_reads_it",
            ),
            *_in("client/test_framing.py", "any_transfer_coding_but_chunked_alone_is_refused"),
            *_in("client/test_fasthead.py", "what_is_out_of_the_ordinary_is_left_to_the_parser"),
            *_in("test_fuzz.py", "any_octets_are_accepted_or_refused_as_documented"),
        ),
    ),
    8: Defect(
        "NUL or control bytes in response fields accepted.",
        (
            *_in(
                "client/test_exchange.py",
                "fields_that_leave_the_framing_in_doubt_are_refused",
                "a_status_line_that_is_none_of_http_1_is_refused",
                "chunks_that_leave_the_framing_in_doubt_are_refused",
            ),
            *_in("client/test_cookies.py", "control_octets_refuse_the_cookie"),
        ),
    ),
    9: Defect(
        "CR, LF, NUL or other control bytes from the caller reach the wire in method, target, field, cookie, multipart"
        " name or file name.",
        (
            *_in(
                "client/test_heads.py",
                "control_characters_never_reach_the_wire",
                "a_method_and_a_name_are_tokens",
                "what_is_accepted_is_read_back_and_nothing_else",
            ),
            *_in("client/test_urls.py", "control_characters_are_refused_wherever_they_stand"),
            *_in("client/test_cookies.py", "what_would_break_the_field_or_the_bound_is_refused"),
            *_in(
                "client/test_session.py", "nothing_is_smuggled_into_a_request", "a_cookie_of_a_request_brings_no_other"
            ),
            *_in("client/test_proxies.py", "nothing_is_smuggled_into_what_a_proxy_is_sent"),
            *_in("client/test_formdata.py", "control_characters_in_a_content_type_are_refused"),
            *_in(
                "client/test_multipart.py",
                "control_characters_of_names_never_reach_the_wire",
                "names_that_are_not_to_be_encoded_have_no_control_characters",
            ),
        ),
    ),
    10: Defect(
        "Pool key confusion: SNI, verification, client certificate, proxy credentials, Unix path.",
        (
            *_in("client/test_connectors.py", "origins_do_not_share_connections"),
            *_in(
                "client/test_trust.py",
                "what_differs_in_trust_shares_no_connection",
                "a_session_without_verification_can_ask_for_it",
                "a_client_certificate_is_shown_to_who_asks",
                "another_name_is_for_its_origin_alone",
            ),
            *_in("client/test_resumption.py", "no_session_is_resumed_under_another_trust"),
            *_in("client/test_tunnel.py", "connections_are_not_shared_between_credentials_or_ways"),
        ),
    ),
    11: Defect(
        "A response delivered to another request; a half-read connection pooled; a cancelled request's reply served to"
        " the next.",
        (
            *_in(
                "client/test_connectors.py",
                "a_connection_that_is_not_proven_clean_is_closed",
                "octets_on_an_idle_connection_never_reach_the_next_request",
                "octets_that_the_loop_has_not_told_of_never_reach_the_next_request",
                "the_reply_to_a_cancelled_request_never_reaches_the_next",
            ),
            *_in("test_fuzz.py", "any_octets_are_accepted_or_refused_as_documented"),
        ),
    ),
    12: Defect(
        "A slot or socket leaked by cancellation at any await.",
        (
            *_in(
                "client/test_cancellation.py",
                "cancelled_anywhere_a_request_leaves_nothing_behind",
                "cancelled_while_connecting_a_request_leaves_nothing_behind",
                "wait_for_leaves_nothing_behind",
                "a_second_cancellation_during_the_cleanup_loses_nothing",
            ),
            *_in("client/test_tunnel.py", "cancelled_anywhere_on_the_way_a_request_leaves_nothing_open"),
            *_in(
                "client/test_defects_connections.py",
                "any_order_of_requests_and_cancellations_leaves_only_what_is_idle",
            ),
            *_in(
                "client/test_budget.py",
                "cancelled_while_nothing_can_be_opened_a_request_leaves_nothing_behind",
            ),
        ),
    ),
    13: Defect(
        "A truncated gzip, br or zstd stream accepted; data after the first gzip member dropped.",
        (
            *_in(
                "client/test_codings.py",
                "any_truncation_is_an_error",
                "truncation_in_either_stage_of_a_stack_is_an_error",
                "a_second_gzip_member_that_is_cut_off_is_an_error",
                "several_gzip_members_are_one_content_however_split",
                "what_is_no_member_after_a_gzip_member_is_an_error",
            ),
            *_in("client/test_exchange.py", "a_coding_cut_off_at_any_octet_is_an_error"),
            *_in(
                "client/test_brotli_zstd.py",
                "content_that_is_cut_off_is_an_error_wherever_it_is",
                "a_frame_of_zstd_follows_one_that_inflates_beyond_a_step",
            ),
        ),
    ),
    14: Defect(
        "A POST sent twice on a stale connection; a retried file body sent from its middle.",
        _in(
            "client/test_connection.py",
            "what_may_have_had_an_effect_is_not_sent_again",
            "a_request_is_never_sent_a_third_time",
            "a_fresh_connection_is_not_repeated",
            "a_file_is_sent_again_from_where_it_stood",
        ),
    ),
    15: Defect(
        "URL octets changed on the way (%2F, %27, %3A, +, duplicate slashes, order of the query): signed URLs must"
        " survive, in Location too.",
        (
            *_in(
                "client/test_urls.py",
                "the_octets_of_a_target_are_kept_exactly",
                "any_visible_ascii_is_kept_exactly",
                "parameters_are_appended_encoded_and_in_order",
            ),
            *_in(
                "client/test_redirects.py",
                "octets_of_a_location_survive",
                "octets_of_the_request_survive_in_a_relative_redirection",
            ),
            *_in("client/test_defects.py", "a_signed_url_reaches_the_wire_as_it_is_given_or_written_in_a_location"),
        ),
    ),
    16: Defect(
        "Numeric host forms and DNS rebinding: an address policy is checked on the address that is connected to.",
        (
            *_in(
                "client/test_resolver.py",
                "names_and_odd_forms_are_no_literals",
                "literals_agree_with_getaddrinfo",
            ),
            *_in("client/test_addresses.py", "a_name_that_answers_differently_the_second_time_gains_nothing"),
        ),
    ),
    17: Defect(
        "Total time out of step with idle time; pool wait counted as connect time; a body that is complete reported as"
        " an error because the reader was paused.",
        (
            *_in(
                "client/test_connection.py",
                "each_phase_has_its_own_bound_and_error",
                "a_slow_reader_is_not_an_idle_server",
                "the_total_bound_lasts_to_the_last_octet",
                "a_bound_of_one_request_is_not_the_next_ones",
            ),
            *_in("client/test_connectors.py", "the_wait_for_a_place_has_its_own_bound"),
            *_in("client/test_exchange.py", "a_complete_message_pauses_nothing"),
        ),
    ),
    18: Defect(
        "Close that hangs (TLS close_notify), sockets in TIME_WAIT storms, warnings at interpreter exit.",
        (
            *_in("client/test_tls.py", "closing_says_close_notify_and_waits_for_nobody"),
            *_in("client/test_connectors.py", "closing_closes_idle_connections_at_once"),
            *_in(
                "client/test_defects.py",
                "many_requests_leave_no_more_sockets_in_time_wait_than_connections",
                "an_interpreter_ends_quietly_whatever_was_closed",
            ),
        ),
    ),
    19: Defect(
        "Event loop stalls: DNS, file I/O, large JSON or decompression on the loop for more than 50 ms.",
        (
            *_in(
                "client/test_resolver.py",
                "a_loop_ends_without_waiting_for_a_look_up_and_the_thread_serves_the_next_loop",
            ),
            *_in("client/test_exchange.py", "a_turn_of_the_loop_decodes_a_bounded_number_of_steps"),
            *_in("client/test_connection.py", "an_upload_lets_others_have_a_turn"),
            *_in("client/test_saving.py", "large_content_is_moved_by_workers_and_stays_whole"),
            *_in(
                "client/test_defects.py",
                "others_have_their_turns_while_a_name_does_not_resolve",
                "a_flood_of_gzip_members_leaves_turns_to_others",
                "a_large_gzip_content_leaves_turns_to_others",
                "a_large_json_is_read_in_turns_and_given_to_a_parser_of_ones_own_whole",
                "a_large_save_moves_little_in_the_loop",
                "a_file_that_is_uploaded_is_read_elsewhere",
            ),
            *_in(
                "client/test_large_json.py",
                "no_step_looks_at_more_than_a_window",
                "others_have_their_turns_while_a_large_document_is_parsed",
            ),
            *_in("client/test_response.py", "a_charset_that_is_a_codec_of_pythons_is_unknown"),
        ),
    ),
    20: Defect(
        "Reference cycles that keep a response, a session or a megabyte alive until the collector comes.",
        (
            *_in("client/test_connection.py", "a_failed_request_leaves_no_cycle"),
            *_in("client/test_response.py", "a_response_is_freed_by_its_last_reference"),
            *_in(
                "client/test_session.py",
                "a_session_is_freed_by_its_last_reference",
                "requests_without_a_session_leave_no_garbage",
            ),
            *_in("client/test_dial.py", "failures_of_a_connector_hold_no_cycle"),
            *_in(
                "client/test_memory.py",
                "a_session_holds_no_more_after_ten_times_as_many_requests",
                "what_is_over_is_freed_by_its_last_reference",
            ),
        ),
    ),
}


@pytest.mark.parametrize("number", DEFECT_CLASSES)
def test_every_class_of_defect_has_tests_that_exist(number: int) -> None:
    """A test that was renamed is renamed here, and one that was dropped is missed."""
    proofs = DEFECT_CLASSES[number].proofs
    assert proofs
    assert len(proofs) == len(set(proofs))
    for proof in proofs:
        assert is_test(proof), proof


def test_the_classes_are_counted_from_one_to_twenty() -> None:
    assert list(DEFECT_CLASSES) == list(range(1, 21))


# 4, 19: bombs, and turns of the loop


class Turns:
    """Counts turns of the loop and, in each, what a probe tells."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0  # growth of the probed number from one turn to the next

    async def watch(self, probe: Iterator[int]) -> None:
        """Look at *probe* in every turn until cancelled."""
        before = next(probe)
        while True:
            await asyncio.sleep(0)
            now = next(probe)
            self.count += 1
            self.largest = max(self.largest, now - before)
            before = now


@contextlib.asynccontextmanager
async def watched(probe: Iterator[int]) -> AsyncIterator[Turns]:
    """Watch *probe* while the block runs."""
    turns = Turns()
    task = asyncio.create_task(turns.watch(probe))
    try:
        yield turns
    finally:
        task.cancel()
        await asyncio.wait((task,))


def steps_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """How many octets decoders have given so far, whoever's they are, a call that gives little counting as 64 KiB."""
    taken = 0
    decode = BoundedDecoder.decode

    def counted(self: BoundedDecoder, data: bytes, max_length: int) -> bytes:
        nonlocal taken
        piece = decode(self, data, max_length)
        taken += max(len(piece), 65_536)
        return piece

    monkeypatch.setattr(BoundedDecoder, "decode", counted)

    def probe() -> Iterator[int]:
        while True:
            yield taken

    return probe()


# What two callbacks of one turn may decode: the socket's, and the one that goes on where it had stopped.
DECODED_IN_A_TURN = 2 * DECODE_STEP_BYTES * DECODE_STEPS_PER_TURN


async def test_a_large_gzip_content_leaves_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB that come as 64 KiB are decoded a few MiB a turn, also for one who reads the whole."""
    reply = response(body=gzip.compress(bytes(64 << 20)), fields=[("Content-Encoding", "gzip")])
    async with (
        raw_server(reply_with(reply)) as server,
        ClientSession() as session,
        watched(steps_taken(monkeypatch)) as turns,
        session.get(server.url()) as got,
    ):
        assert len(await got.read()) == 64 << 20
    assert turns.largest <= DECODED_IN_A_TURN
    assert turns.count > 8


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
async def test_a_flood_of_gzip_members_leaves_turns_to_others(monkeypatch: pytest.MonkeyPatch, coding: str) -> None:
    """A hundred thousand members that come out as nothing: a call that gives nothing has worked all the same."""
    member = gzip.compress(b"", mtime=0)
    flood = member * 100_000
    if coding == "gzip, gzip":
        flood = gzip.compress(flood, mtime=0)
    reply = response(body=flood, fields=[("Content-Encoding", coding)])
    async with (
        raw_server(reply_with(reply)) as server,
        ClientSession() as session,
        watched(steps_taken(monkeypatch)) as turns,
        session.get(server.url()) as got,
    ):
        assert await got.read() == b""
    assert turns.largest <= 8 * 65_536, "calls in one turn, each counted as 64 KiB"


async def test_a_bomb_that_nobody_reads_costs_no_memory() -> None:
    """On the draining path nothing is decoded; the connection is closed or used again."""
    bomb = gzip.compress(bytes(64 << 20))[: 48 << 10]
    reply = response(body=bomb, fields=[("Content-Encoding", "gzip")])
    async with raw_server(reply_with(reply)) as server, ClientSession() as session:
        tracemalloc.start()
        try:
            async with session.get(server.url()) as got:
                pass
            assert got.status == 200
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20


async def test_others_have_their_turns_while_a_name_does_not_resolve() -> None:
    """The look-up fails only when the loop, which it would have stalled, has done another request meanwhile."""
    may_fail = threading.Event()

    def look_up(name: bytes | str, port: int, family: int, flags: int) -> list[AddrInfo]:
        may_fail.wait()
        raise OSError("no such name")

    connector = TCPConnector(resolver=ThreadedResolver(look_up=look_up))
    async with raw_server(reply_with(response(body=b"x"))) as server, ClientSession(connector=connector) as session:
        failing = asyncio.create_task(session.request("GET", "http://missing.test/"))
        await asyncio.sleep(0)
        async with session.get(server.url()) as got:
            assert await got.read() == b"x"
        assert not failing.done()
        may_fail.set()
        with pytest.raises(ClientConnectorDNSError):
            await failing


async def test_a_large_json_is_read_in_turns_and_given_to_a_parser_of_ones_own_whole() -> None:
    """Any but the default is called once; what the default does with it is in ``test_large_json``."""
    document = json.dumps([{"number": n} for n in range(200_000)])
    calls: list[int] = []

    def loads(text: str) -> object:
        calls.append(len(text))
        return json.loads(text)

    reply = response(body=document.encode(), fields=[("Content-Type", "application/json")])
    async with (
        raw_server(reply_with(reply)) as server,
        ClientSession() as session,
        session.get(server.url()) as got,
        watched(iter(lambda: got._exchange.received, -1)) as turns,
    ):
        assert len(await got.json(loads=loads)) == 200_000
    assert calls == [len(document)]
    assert turns.largest <= 2 << 20


async def test_a_large_save_moves_little_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 MiB, whichever way they go, one turn of the loop moves a step, and at the end what is inline."""
    here = threading.get_ident()
    moved_here = 0
    splice = os.splice

    def counted(src: int, dst: int, count: int) -> int:
        nonlocal moved_here
        moved = splice(src, dst, count)
        if threading.get_ident() == here:
            moved_here += moved
        return moved

    monkeypatch.setattr(os, "splice", counted)
    content = random.Random(5).randbytes(32 << 20)
    async with (
        raw_server(reply_with(response(body=content))) as server,
        ClientSession() as session,
        session.get(server.url()) as got,
        watched(iter(lambda: moved_here, -1)) as turns,
    ):
        assert await got.save(tmp_path / "file") == len(content)
    assert (tmp_path / "file").read_bytes() == content
    in_and_out = 2
    assert turns.largest <= in_and_out * (INLINE_SAVE_BYTES + SAVE_BUFFER_BYTES)


class NotingFile(io.BytesIO):
    """A file whose reading is noted: by which thread."""

    readers: set[int]

    def read(self, size: int | None = -1, /) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(size)


async def test_a_file_that_is_uploaded_is_read_elsewhere() -> None:
    """A disk may take its time; the loop's thread never asks it for content."""
    file = NotingFile(bytes(1 << 20))
    file.readers = set()
    async with raw_server(reply_with(response())) as server, ClientSession() as session:
        async with session.put(server.url(), data=file):
            pass
        assert len(server.requests[0].body) == 1 << 20
    assert file.readers
    assert threading.get_ident() not in file.readers


# 6: chunks of one octet

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def feed_tiny_chunks(count: int) -> Exchange:
    """Feed *count* chunks of one octet in packets of 64 KiB to an exchange whose reader takes them as they come."""
    exchange = Exchange("GET")
    exchange.receive(CHUNKED)
    packet = b"1\r\nx\r\n" * 10_000
    for _ in range(count // 10_000):
        exchange.receive(packet)
        exchange.body.take_all()
    exchange.receive(b"0\r\n\r\n")
    assert exchange.is_ended
    assert exchange.received == count
    return exchange


@pytest.mark.slow
def test_ten_times_as_many_chunks_of_one_octet_cost_ten_times_as_much() -> None:
    """What is linear costs ten times as much, what is quadratic a hundred times; the bound is between the two."""

    def seconds(count: int) -> float:
        began = time.process_time()
        feed_tiny_chunks(count)
        return time.process_time() - began

    seconds(10_000)
    tenth = min(seconds(30_000) for _ in range(3))
    assert seconds(300_000) < 30 * tenth


@pytest.mark.slow
def test_nothing_is_kept_of_chunks_that_were_taken() -> None:
    """What is held is what the reader has not taken, however many there were."""
    feed_tiny_chunks(10_000)
    tracemalloc.start()
    try:
        feed_tiny_chunks(100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("width", [1, 2, 5, 30])
def test_tiny_chunks_that_nobody_takes_are_held_as_few_objects(width: int) -> None:
    """A reader that is behind holds half a mebibyte of them, and not twenty times as much."""
    exchange = Exchange("GET")
    exchange.receive(CHUNKED)
    chunk = b"%x\r\n%b\r\n" % (width, b"x" * width)
    packet = chunk * (65_536 // len(chunk))
    tracemalloc.start()
    try:
        while exchange.body.size < 500_000:
            exchange.receive(packet)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * exchange.body.size
    assert len(exchange.body.chunks) < 100
    assert exchange.body.take_all() == b"x" * exchange.received


# 15: octets of a URL

SIGNED = (
    "/a%2Fb//c/%27%3A+!*'(),;=:@/?X-Signature=%2F%2f+%20&b=2&a=1&b=1&empty=&=&&url=http://x/?y",
    "/%E2%82%AC/%e2%82%ac?q=%C3%BC~%7E",
    "/a/b;v=1.0;x//?%2B+%2B",
)


@pytest.mark.parametrize("target", SIGNED)
@pytest.mark.parametrize("place", ["", "http://127.0.0.1:{port}"], ids=["path", "absolute"])
async def test_a_signed_url_reaches_the_wire_as_it_is_given_or_written_in_a_location(target: str, place: str) -> None:
    """RFC 3986 section 6.2.2 makes some of these equal; a signature does not (S3, GCS, Azure)."""
    port = 0

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/first":
                location = place.format(port=port) + target
                await conn.send(response(302, fields=[("Location", location)], reason="Found"))
            else:
                await conn.send(response(body=b"x"))

    async with raw_server(script) as server, ClientSession() as session:
        port = server.port
        for path in (target, "/first"):
            async with session.get(server.url(path)) as got:
                assert await got.read() == b"x"
            assert str(got.url) == server.url(target)
        assert [asked.target for asked in server.requests] == [target, "/first", target]


# 18: ends


def time_wait_count(port: int) -> int:
    """Sockets of this machine in TIME_WAIT with *port* at either end."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [line.split()[1:4] for line in lines]
    return sum(state == "06" and f"{port:04X}" in (a.partition(":")[2], b.partition(":")[2]) for a, b, state in ends)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="TIME_WAIT is counted in /proc/net/tcp")
async def test_many_requests_leave_no_more_sockets_in_time_wait_than_connections() -> None:
    """Whoever closes first keeps the pair of addresses for a minute: one for a connection, not one for a request."""
    async with raw_server(reply_with(response(body=b"x"))) as server:
        before = time_wait_count(server.port)  # those of an earlier owner of the port
        async with ClientSession(connector=TCPConnector(limit=4)) as session:

            async def ask() -> None:
                for _ in range(25):
                    async with session.get(server.url()) as got:
                        await got.read()

            await asyncio.gather(*(ask() for _ in range(8)))
        assert len(server.requests) == 200
        assert server.accepted <= 4
        await server.until(lambda: not server.open_connections)
        assert time_wait_count(server.port) - before <= 4


ENDS = {
    "all closed": """
        async with ClientSession() as session, session.get(url) as got:
            await got.read()
    """,
    "without a session": """
        got = await request("get", url)
        await got.read()
    """,
    "a name that does not resolve": """
        with contextlib.suppress(ClientError):
            await request("get", "http://missing.invalid/")
    """,
    "given up by wait_for": """
        async with ClientSession() as session:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(session.request("get", url + "slow"), 0.05)
    """,
    "an open session closed in a finally": """
        session = ClientSession()
        try:
            got = await session.request("get", url)
        finally:
            await session.close()
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("body", ENDS.values(), ids=ENDS.keys())
async def test_an_interpreter_ends_quietly_whatever_was_closed(body: str) -> None:
    """Nothing on standard error, in development mode, which shows every ResourceWarning."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            if asked.target == "/slow":
                await conn.read_eof()
            else:
                await conn.send(response(body=b"x"))

    program = "import asyncio, contextlib\nfrom fetchd.client import ClientError, ClientSession, request\n"
    async with raw_server(script) as server:
        program += f"url = {server.url()!r}\nasync def main():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        program += "asyncio.run(main())\n"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-c", program), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        told, complaints = await process.communicate()
    assert (told, complaints, process.returncode) == (b"", b"", 0)
