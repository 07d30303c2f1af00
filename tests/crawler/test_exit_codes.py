"""``cli/exit_codes.py``: the published table."""

from __future__ import annotations

import signal

import pytest

from fetchd.crawler.cli.exit_codes import ExitCode, exit_code, signal_code
from fetchd.jobs.events import Summary
from fetchd.jobs.failures import FailureClass

DNS, CONNECT, TLS = FailureClass.DNS, FailureClass.CONNECT, FailureClass.TLS
NOT_FOUND, POLICY = FailureClass.HTTP_4XX, FailureClass.POLICY


def test_the_numbers_are_those_that_are_published() -> None:
    """Scripts depend on them."""
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "SOME_FAILED": 1,
        "USAGE": 2,
        "LOCAL_FAILURE": 3,
        "NETWORK_UNUSABLE": 4,
        "LIMIT": 5,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary(read=3, done=3), ExitCode.DONE),
        (Summary(read=3, done=1, skipped=2), ExitCode.DONE),
        (Summary(read=3, skipped=3), ExitCode.DONE),
        (Summary(read=3, done=2, failed=1, failures={NOT_FOUND: 1}), ExitCode.SOME_FAILED),
        (Summary(read=3, done=2, invalid=1), ExitCode.SOME_FAILED),
        (Summary(read=3, invalid=3), ExitCode.SOME_FAILED),
        (Summary(read=3, done=2, left=1), ExitCode.SOME_FAILED),
        (Summary(read=3, done=3, unread=True), ExitCode.SOME_FAILED),
        (Summary(), ExitCode.USAGE),
        (Summary(unread=True), ExitCode.SOME_FAILED),
        (Summary(read=2, failed=2, failures={CONNECT: 2}), ExitCode.NETWORK_UNUSABLE),
        (Summary(read=3, failed=3, failures={CONNECT: 1, DNS: 1, TLS: 1}), ExitCode.NETWORK_UNUSABLE),
        (Summary(read=4, failed=2, invalid=1, skipped=1, failures={DNS: 2}), ExitCode.NETWORK_UNUSABLE),
        (Summary(read=3, failed=3, failures={DNS: 2, POLICY: 1}), ExitCode.NETWORK_UNUSABLE),
        (Summary(read=1, failed=1, failures={POLICY: 1}), ExitCode.SOME_FAILED),
        (Summary(read=3, done=1, failed=2, failures={CONNECT: 2}), ExitCode.SOME_FAILED),
        (Summary(read=2, failed=2, failures={CONNECT: 1, NOT_FOUND: 1}), ExitCode.SOME_FAILED),
        (Summary(read=2, failed=2, failures={FailureClass.TIMEOUT_CONNECT: 2}), ExitCode.SOME_FAILED),
        (Summary(read=3, done=1, left=2, local_failure="disk full"), ExitCode.LOCAL_FAILURE),
        (Summary(read=3, failed=2, left=1, failures={DNS: 2}, stopped_by="max-failures"), ExitCode.LIMIT),
        (Summary(read=3, done=3, unread=True, stopped_by="max-total-bytes"), ExitCode.LIMIT),
        (Summary(read=3, done=3, stopped_by="max-time"), ExitCode.DONE),
    ],
)
def test_each_summary_has_its_code(summary: Summary, code: ExitCode) -> None:
    """What was skipped, invalid or collided was not attempted, and says nothing of the network."""
    assert exit_code(summary) is code


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_a_signal_outweighs_how_far_the_run_came(number: int, code: ExitCode) -> None:
    """128 and its number, as shells count; a failure of this machine outweighs the signal."""
    assert signal_code(number) is code
    assert exit_code(Summary(read=3, done=3), number) is code
    assert exit_code(Summary(), number) is code
    assert exit_code(Summary(read=1, left=1, local_failure="disk full"), number) is ExitCode.LOCAL_FAILURE
