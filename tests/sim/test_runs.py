"""Whole runs: whatever goes wrong, nothing is lost, doubled or left behind."""

from dataclasses import replace

import pytest

from parley.simulation import Options, Report, run
from parley.simulation.faults import NO_FAULTS, FaultPlan

SEEDS = 300
SEEDS_A_TEST = 15
ONCE_BROKEN = [648, 866, 1572, 1809, 3307, 5767, 6287, 14407, 20294, 21902]
"""Beyond the first: seeds that found something when they were first run."""


def verdict(report: Report) -> str:
    """What a person needs when it failed."""
    if report.is_ok:
        return ""
    events = "\n".join(f"{event.at_s:9.3f}  {event.actor:14} {event.what}" for event in report.events[-40:])
    return f"{report.broken}\n{report.trace}\n{events}\n{report.options.drawn}\n{report.options.command}"


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_everything_holds_whatever_goes_wrong(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        report = run(Options(seed))
        assert report.is_ok, verdict(report)


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_what_once_broke_holds(seed: int) -> None:
    report = run(Options(seed))
    assert report.is_ok, verdict(report)


def test_most_sessions_come_to_their_end_and_every_class_of_faults_is_met() -> None:
    outcomes: list[str] = []
    for seed in range(12):
        outcomes += run(Options(seed)).outcomes.values()
    met = {name for seed in range(SEEDS) for name in Options(seed).drawn.plan.active}
    assert outcomes.count("complete") > 0.7 * len(outcomes)
    assert met == set(FaultPlan.__dataclass_fields__)


@pytest.mark.parametrize("seed", [3, 7])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    first, second = run(Options(seed)), run(Options(seed))
    assert first.events == second.events
    assert replace(first, events=[]) == replace(second, events=[])


def test_without_faults_everyone_is_served_on_one_connection() -> None:
    report = run(Options(1, users=3, plan=NO_FAULTS))
    assert report.is_ok, verdict(report)
    assert set(report.outcomes.values()) == {"complete"}
    assert report.connections == 3
    assert report.losses == 0


def test_drops_alone_change_no_word() -> None:
    plan = FaultPlan(reset_a_minute=12.0, cut_a_minute=12.0, linger_a_minute=3.0, late_s=4.0)
    report = run(Options(5, users=2, plain_users=0, plan=plan, diverges=False))
    undisturbed = run(Options(5, users=2, plain_users=0, plan=NO_FAULTS, diverges=False))
    assert report.is_ok, verdict(report)
    assert report.words == undisturbed.words
    assert report.connections > 10


def test_lost_legs_alone_change_no_word() -> None:
    plan = FaultPlan(crash_a_minute=4.0, leg_rate=0.5, leg_faults=("reset", "cut", "stall", "truncate", "babble"))
    report = run(Options(5, users=2, plain_users=0, plan=plan, diverges=False))
    undisturbed = run(Options(5, users=2, plain_users=0, plan=NO_FAULTS, diverges=False))
    assert report.is_ok, verdict(report)
    assert report.words == undisturbed.words
    assert report.losses > 5


def test_where_little_is_kept_a_client_that_comes_back_is_served_or_told_why_not() -> None:
    plan = FaultPlan(reset_a_minute=6.0, stall_a_minute=2.0, late_s=6.0)
    outcomes: list[str] = []
    for seed in range(10):
        limits = replace(Options(seed).drawn.limits, ledger_max_bytes=600, output_max_bytes=2_000)
        report = run(Options(seed, users=1, plain_users=0, plan=plan, limits=limits, speech_s=20.0))
        assert report.is_ok, verdict(report)
        outcomes += report.outcomes.values()
    assert {"complete", "gap"} <= set(outcomes)


def test_a_model_that_hears_otherwise_the_second_time_doubles_no_word() -> None:
    plan = FaultPlan(crash_a_minute=6.0, reset_a_minute=4.0)
    for seed in range(400, 410):
        report = run(Options(seed, users=2, plan=plan, diverges=True))
        assert report.is_ok, verdict(report)


@pytest.mark.timeout(300)
def test_eight_hours_have_no_seam_and_bounded_memory() -> None:
    plan = FaultPlan(reset_a_minute=1.0, cut_a_minute=0.5, crash_a_minute=0.2, late_s=2.0)
    options = Options(2, speech_s=8 * 3600.0, users=1, plan=plan)
    report = run(options)
    assert report.is_ok, verdict(report)
    assert report.outcomes == {"user0": "complete"}
    assert report.connections > 300
    assert report.losses > 100
    # Held at most: the bounds of audio, and the text of a turn of hours.
    limits = options.drawn.limits
    audio_bytes = limits.held_bytes_max + limits.journal_bytes_max
    assert report.most_held_bytes < audio_bytes + limits.turn_text_max_bytes + limits.ledger_max_bytes + 65_536
