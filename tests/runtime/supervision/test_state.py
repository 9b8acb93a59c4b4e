"""Who is ended and brought back, in which order: the matrix of OTP's suite, without a process."""

from __future__ import annotations

import pytest

from runtime.supervision import (
    AutoShutdown,
    Backoff,
    ChildCounts,
    ChildExistsError,
    ChildStartError,
    ChildStatus,
    Intensity,
    Restart,
    RestartIntensityError,
    Strategy,
    UnknownChildError,
)
from runtime.supervision.errors import IllegalTransitionError
from runtime.supervision.state import SupervisorState
from runtime.supervision.status import (
    CHILD_TRANSITIONS,
    TRANSITIONS,
    Phase,
    check_child_transition,
    check_transition,
)
from runtime.supervision.steps import Start
from tests.runtime.supervision.effort import count_lines
from tests.runtime.supervision.play import BoomError, Play, spec

ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
PERMANENT, TRANSIENT, TEMPORARY = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY
PATIENT = Intensity(max_restarts=100, period_seconds=5.0)


def family(
    *restarts: Restart,
    strategy: Strategy = ONE_FOR_ONE,
    intensity: Intensity = PATIENT,
    backoff: Backoff | None = None,
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
    significant: str = "",
) -> Play:
    """Running children a, b, c ..., of these restart types; those named in `significant` are."""
    specs = [
        spec(name, restart, significant=name in significant)
        for name, restart in zip("abcdefgh", restarts, strict=False)
    ]
    state = SupervisorState(
        specs, strategy=strategy, intensity=intensity, backoff=backoff, auto_shutdown=auto_shutdown
    )
    play = Play(state)
    play.start_all()
    return play


def status(play: Play) -> dict[str, str]:
    return {child.name: child.status.value for child in play.state.which_children()}


# -- the matrix: restart type x how it ended x strategy x position --

RESTARTS = {
    (PERMANENT, "normal"): True,
    (PERMANENT, "failure"): True,
    (TRANSIENT, "normal"): False,
    (TRANSIENT, "failure"): True,
    (TEMPORARY, "normal"): False,
    (TEMPORARY, "failure"): False,
}

RESTART_OF = {
    (ONE_FOR_ONE, "a"): "revive a",
    (ONE_FOR_ONE, "b"): "revive b",
    (ONE_FOR_ONE, "c"): "revive c",
    (ONE_FOR_ALL, "a"): "halt c, halt b, revive a, revive b, revive c",
    (ONE_FOR_ALL, "b"): "halt c, halt a, revive a, revive b, revive c",
    (ONE_FOR_ALL, "c"): "halt b, halt a, revive a, revive b, revive c",
    (REST_FOR_ONE, "a"): "halt c, halt b, revive a, revive b, revive c",
    (REST_FOR_ONE, "b"): "halt c, revive b, revive c",
    (REST_FOR_ONE, "c"): "revive c",
}

RESTART_WITH_A_FAILED_START_OF = {
    (ONE_FOR_ONE, "a"): "revive a, revive a",
    (ONE_FOR_ONE, "b"): "revive b, revive b",
    (ONE_FOR_ONE, "c"): "revive c, revive c",
    (ONE_FOR_ALL, "a"): "halt c, halt b, revive a, revive a, revive b, revive c",
    (ONE_FOR_ALL, "b"): "halt c, halt a, revive a, revive b, halt a, revive a, revive b, revive c",
    (ONE_FOR_ALL, "c"): (
        "halt b, halt a, revive a, revive b, revive c, halt b, halt a, revive a, revive b, revive c"
    ),
    (REST_FOR_ONE, "a"): "halt c, halt b, revive a, revive a, revive b, revive c",
    (REST_FOR_ONE, "b"): "halt c, revive b, revive b, revive c",
    (REST_FOR_ONE, "c"): "revive c, revive c",
}


def row_with(name: str, restart: Restart, strategy: Strategy) -> Play:
    restarts = [restart if each == name else PERMANENT for each in "abc"]
    return family(*restarts, strategy=strategy)


@pytest.mark.parametrize("name", "abc")
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(("restart", "how"), RESTARTS)
def test_what_follows_from_the_end_of_a_child(
    restart: Restart, how: str, strategy: Strategy, name: str
) -> None:
    play = row_with(name, restart, strategy)
    log = play.ends(name) if how == "normal" else play.fails(name)

    if RESTARTS[restart, how]:
        assert log == RESTART_OF[strategy, name]
        assert status(play) == {"a": "running", "b": "running", "c": "running"}
    else:
        assert log == f"release {name}"
        others = {other: "running" for other in "abc" if other != name}
        assert status(play) == (others if restart is TEMPORARY else {**others, name: "absent"})
    assert play.state.phase is Phase.RESTING


@pytest.mark.parametrize("restart", [PERMANENT, TRANSIENT])
@pytest.mark.parametrize(("strategy", "name"), RESTART_WITH_A_FAILED_START_OF)
def test_a_failed_revival_is_tried_again_with_those_it_concerns(
    restart: Restart, strategy: Strategy, name: str
) -> None:
    play = row_with(name, restart, strategy)
    play.fails_to_start[name] = 1
    assert play.fails(name) == RESTART_WITH_A_FAILED_START_OF[strategy, name]
    assert status(play) == {"a": "running", "b": "running", "c": "running"}


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        (
            ONE_FOR_ALL,
            "halt c, halt b, revive a, revive b, revive c, halt b, halt a, revive a, revive b, revive c",
        ),
        (REST_FOR_ONE, "halt c, halt b, revive a, revive b, revive c, revive c"),
    ],
)
def test_another_child_that_fails_to_start_in_a_restart_is_the_next_to_restart(
    strategy: Strategy, log: str
) -> None:
    play = family(PERMANENT, PERMANENT, PERMANENT, strategy=strategy)
    play.fails_to_start["c"] = 1
    assert play.fails("a") == log


@pytest.mark.parametrize("how", ["normal", "failure", "failure before it is told"])
@pytest.mark.parametrize("strategy", [ONE_FOR_ALL, REST_FOR_ONE])
@pytest.mark.parametrize(
    ("restart", "back"),
    [
        (PERMANENT, "halt b, revive a, revive b, revive c"),
        (TRANSIENT, "halt b, revive a, revive b, revive c"),
        (TEMPORARY, "release c, halt b, revive a, revive b"),
    ],
)
def test_how_a_sibling_ends_while_it_is_halted_does_not_matter(
    restart: Restart, back: str, strategy: Strategy, how: str
) -> None:
    play = family(PERMANENT, PERMANENT, restart, PERMANENT, strategy=strategy, intensity=Intensity(1))
    play.slow = {"d"}
    assert play.fails("a") == "halt d"
    if how == "failure before it is told":
        assert play.fails("c") == ""
    play.slow.clear()
    play.fails_when_halted = {"c"} if how == "failure" else set()

    told = "" if how == "failure before it is told" else "halt c, "
    assert play.ends("d") == f"{told}{back}, revive d"
    assert play.state.count_children().active == (3 if restart is TEMPORARY else 4)


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("a", "start a, release a, escalate"),
        ("b", "start a, start b, release b, halt a, release a, escalate"),
        ("c", "start a, start b, start c, release c, halt b, release b, halt a, release a, escalate"),
    ],
)
def test_a_first_start_that_fails_undoes_the_others_and_escalates(
    name: str, log: str, strategy: Strategy
) -> None:
    play = Play(SupervisorState([spec("a"), spec("b"), spec("c")], strategy=strategy))
    play.fails_to_start[name] = 1
    assert play.start_all() == log
    assert isinstance(play.failure, ChildStartError)
    assert repr(name) in str(play.failure)
    assert isinstance(play.failure.__cause__, BoomError)
    assert play.state.phase is Phase.ENDED


# -- who comes back, and as whom --


@pytest.mark.parametrize("strategy", [ONE_FOR_ALL, REST_FOR_ONE])
def test_a_group_brings_back_who_is_down_as_a_new_incarnation_and_no_temporary_child(
    strategy: Strategy,
) -> None:
    play = family(PERMANENT, TRANSIENT, TEMPORARY, TRANSIENT, strategy=strategy)
    assert play.ends("b") == "release b"
    assert play.fails("a") == "halt d, halt c, release c, revive a, start b, revive d"
    assert status(play) == {"a": "running", "b": "running", "d": "running"}


def test_a_new_incarnation_that_fails_to_start_in_a_restart_is_released_and_tried_anew() -> None:
    play = family(PERMANENT, TRANSIENT, strategy=ONE_FOR_ALL)
    play.ends("b")
    play.fails_to_start["b"] = 1
    assert play.fails("a") == "revive a, start b, release b, halt a, revive a, start b"
    assert status(play) == {"a": "running", "b": "running"}


def test_rest_for_one_leaves_those_before_it_alone_even_if_they_are_down() -> None:
    play = family(TRANSIENT, PERMANENT, strategy=REST_FOR_ONE)
    play.ends("a")
    assert play.fails("b") == "revive b"
    assert status(play) == {"a": "absent", "b": "running"}


def test_children_start_one_after_the_other() -> None:
    play = Play(SupervisorState([spec("a"), spec("b")]))
    play.slow = {"a"}
    assert play.start_all() == "start a"
    assert play.state.phase is Phase.STARTING
    assert play.started("a") == "start b"
    assert play.state.phase is Phase.RESTING


def test_a_child_that_ends_before_it_has_started_has_failed_to_start() -> None:
    play = Play(SupervisorState([spec("a")]))
    play.slow = {"a"}
    play.start_all()
    assert play.ends("a") == "release a, escalate"
    assert "ended before it had started" in str(play.failure)


def test_a_sibling_that_ends_during_a_restart_of_another_waits_for_its_turn() -> None:
    play = family(PERMANENT, PERMANENT)
    play.slow = {"a"}
    assert play.fails("a") == "revive a"
    assert play.fails("b") == ""
    assert play.started("a") == "revive b"


def test_what_counts_is_how_a_child_ended_last() -> None:
    play = family(PERMANENT, TRANSIENT, PERMANENT, strategy=ONE_FOR_ALL)
    play.slow = {"c"}
    play.fails("a")
    assert play.fails("b") == ""  # waits for its turn, and is brought back before that
    assert play.ends("c") == "revive a, revive b, revive c"
    assert play.ends("b") == ""
    assert play.started("c") == "release b"


# -- intensity --


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
def test_as_many_restarts_as_allowed_are_made_and_one_more_escalates(max_restarts: int) -> None:
    play = family(PERMANENT, PERMANENT, intensity=Intensity(max_restarts, 5.0))
    for _ in range(max_restarts):
        assert play.fails("b") == "revive b"
    assert play.fails("b") == "release b, halt a, release a, escalate"
    assert isinstance(play.failure, RestartIntensityError)
    assert str(play.failure) == (
        f"restarting child 'b' would be restart {max_restarts + 1} within 5 s; allowed: {max_restarts}"
    )
    assert isinstance(play.failure.__cause__, BoomError)


def test_restarts_of_all_children_count_together() -> None:
    play = family(PERMANENT, PERMANENT, intensity=Intensity(1, 5.0))
    play.fails("a")
    assert play.fails("b").endswith("escalate")


def test_a_group_restart_counts_once() -> None:
    play = family(PERMANENT, PERMANENT, PERMANENT, strategy=ONE_FOR_ALL, intensity=Intensity(1, 5.0))
    assert play.fails("b") == RESTART_OF[ONE_FOR_ALL, "b"]


def test_the_period_slides() -> None:
    play = family(PERMANENT, intensity=Intensity(2, 5.0))
    for seconds in (0.0, 3.0, 3.0, 3.0, 3.0):  # never more than two within five seconds
        play.now += seconds
        assert play.fails("a") == "revive a"
    play.now += 1.0
    assert play.fails("a") == "release a, escalate"


@pytest.mark.parametrize(("seconds", "log"), [(5.0, "release a, escalate"), (5.0 + 2**-20, "revive a")])
def test_a_restart_exactly_a_period_ago_still_counts(seconds: float, log: str) -> None:
    play = family(PERMANENT, intensity=Intensity(1, 5.0))
    play.fails("a")
    play.now += seconds
    assert play.fails("a") == log


def test_failed_revivals_count_until_they_escalate() -> None:
    play = family(PERMANENT, PERMANENT, intensity=Intensity(3, 5.0))
    play.fails_to_start["b"] = 99
    assert play.fails("b") == "revive b, revive b, revive b, release b, halt a, release a, escalate"


def test_a_normal_end_of_a_permanent_child_escalates_without_a_cause() -> None:
    play = family(PERMANENT, intensity=Intensity(0))
    assert play.ends("a") == "release a, escalate"
    assert play.failure is not None
    assert play.failure.__cause__ is None


# -- backoff --

BACKOFF = Backoff(first_seconds=1.0, factor=2.0, limit_seconds=4.0)


def test_the_delay_grows_with_each_restart_in_a_row_of_one_child_up_to_its_limit() -> None:
    play = family(PERMANENT, PERMANENT, backoff=BACKOFF)
    waits: list[str] = []
    for _ in range(4):
        waits.append(play.fails("a"))
        assert play.backoff_over() == "revive a"
    assert waits == ["wait 1", "wait 2", "wait 4", "wait 4"]
    assert play.fails("b") == "wait 1"


def test_a_failed_revival_lengthens_the_row() -> None:
    play = family(PERMANENT, backoff=BACKOFF)
    play.fails_to_start["a"] = 1
    assert play.fails("a") == "wait 1"
    assert play.backoff_over() == "revive a, wait 2"


@pytest.mark.parametrize(("ran_seconds", "wait"), [(4.75, "wait 2"), (5.0, "wait 1")])
def test_the_row_ends_when_the_child_has_run_for_the_period(ran_seconds: float, wait: str) -> None:
    play = family(PERMANENT, backoff=BACKOFF)
    play.fails("a")
    play.backoff_over()
    play.now += ran_seconds
    assert play.fails("a") == wait


def test_chance_shortens_the_delay_by_the_jitter_at_most() -> None:
    play = family(PERMANENT, backoff=Backoff(first_seconds=4.0, jitter=0.5))
    play.chance = 0.5
    assert play.fails("a") == "wait 3"


def test_a_group_is_halted_at_once_and_comes_back_after_the_backoff() -> None:
    play = family(PERMANENT, PERMANENT, PERMANENT, strategy=ONE_FOR_ALL, backoff=BACKOFF)
    assert play.fails("b") == "halt c, halt a, wait 1"
    assert status(play) == {"a": "restarting", "b": "restarting", "c": "restarting"}
    assert play.state.count_children() == ChildCounts(specs=3, active=0)
    assert play.backoff_over() == "revive a, revive b, revive c"


def test_the_backoff_counts_from_the_end_of_the_child_and_siblings_may_use_it_up() -> None:
    play = family(PERMANENT, PERMANENT, strategy=ONE_FOR_ALL, backoff=BACKOFF)
    play.slow = {"b"}
    play.fails("a")
    play.now += 0.75
    assert play.ends("b") == "wait 0.25"
    play.slow = {"a", "b"}
    assert play.backoff_over() == "revive a"
    play.started("a")
    play.fails("b")  # its first
    play.slow = {"a"}
    play.now += 3.0
    assert play.ends("a") == "revive a"


def test_a_later_restart_takes_over_those_who_wait() -> None:
    play = family(PERMANENT, PERMANENT, PERMANENT, strategy=REST_FOR_ONE, backoff=BACKOFF)
    assert play.fails("b") == "halt c, wait 1"
    assert play.fails("a") == "wait 1"
    assert play.backoff_over() == ""  # the first wait: nobody waits for it any more
    assert play.backoff_over() == "revive a, revive b, revive c"


def test_others_restart_while_one_waits() -> None:
    play = family(PERMANENT, PERMANENT, backoff=BACKOFF)
    play.fails("a")
    play.fails("b")
    assert play.backoff_over() == "revive a"
    assert play.backoff_over() == "revive b"


# -- automatic shutdown --

ANY, ALL = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT


@pytest.mark.parametrize(
    ("auto_shutdown", "restart", "how", "log"),
    [
        (ANY, TRANSIENT, "normal", "release b, halt c, release c, halt a, release a, finish"),
        (ANY, TRANSIENT, "failure", "revive b"),
        (ANY, TEMPORARY, "normal", "release b, halt c, release c, halt a, release a, finish"),
        (ANY, TEMPORARY, "failure", "release b, halt c, release c, halt a, release a, finish"),
        (ALL, TRANSIENT, "normal", "release b"),
        (ALL, TEMPORARY, "failure", "release b"),
    ],
)
def test_a_significant_child_that_ends_for_good_may_end_the_supervisor(
    auto_shutdown: AutoShutdown, restart: Restart, how: str, log: str
) -> None:
    play = family(PERMANENT, restart, TRANSIENT, auto_shutdown=auto_shutdown, significant="bc")
    assert (play.ends("b") if how == "normal" else play.fails("b")) == log


def test_the_last_significant_child_ends_the_supervisor() -> None:
    play = family(PERMANENT, TRANSIENT, TEMPORARY, auto_shutdown=ALL, significant="bc")
    assert play.ends("b") == "release b"
    assert play.fails("c") == "release c, halt a, release a, finish"


def test_a_significant_child_that_waits_for_its_restart_is_not_gone() -> None:
    play = family(TRANSIENT, TEMPORARY, auto_shutdown=ALL, significant="ab", backoff=BACKOFF)
    assert play.fails("a") == "wait 1"
    assert play.ends("b") == "release b"


def test_a_child_that_is_not_significant_ends_nobody() -> None:
    play = family(TRANSIENT, TRANSIENT, auto_shutdown=ANY, significant="a")
    assert play.ends("b") == "release b"


def test_a_significant_child_that_the_supervisor_ends_does_not_end_it() -> None:
    play = family(PERMANENT, TEMPORARY, strategy=ONE_FOR_ALL, auto_shutdown=ANY, significant="b")
    assert play.fails("a") == "halt b, release b, revive a"
    play = family(PERMANENT, TRANSIENT, auto_shutdown=ANY, significant="b")
    assert play.perform(play.state.terminate_child(1, "b")) == "halt b, release b, 1: ok"
    assert play.state.phase is Phase.RESTING


def test_a_significant_child_needs_an_automatic_shutdown() -> None:
    with pytest.raises(ValueError, match="allowed: False"):
        SupervisorState([spec("a", TRANSIENT, significant=True)])
    play = family()
    log = play.perform(play.state.start_child(1, spec("a", TRANSIENT, significant=True)))
    assert log == "1: ValueError"


# -- requests --


def test_a_child_is_added_after_the_others_and_started() -> None:
    play = family(PERMANENT)
    assert play.perform(play.state.start_child(1, spec("z"))) == "start z, 1: ok"
    assert play.perform(play.state.start_child(2, spec("y"))) == "start y, 2: ok"
    assert [child.name for child in play.state.which_children()] == ["a", "z", "y"]
    assert play.state.spec("z") == spec("z")


@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("strategy", Strategy)
def test_a_child_that_cannot_be_started_is_not_added_and_concerns_nobody(
    strategy: Strategy, restart: Restart
) -> None:
    play = family(PERMANENT, strategy=strategy, intensity=Intensity(0))
    play.fails_to_start["z"] = 1
    assert play.perform(play.state.start_child(1, spec("z", restart))) == (
        "start z, release z, 1: ChildStartError"
    )
    error = play.errors[1]
    assert error is not None
    assert isinstance(error.__cause__, BoomError)
    assert status(play) == {"a": "running"}


@pytest.mark.parametrize(
    ("before", "request_", "log"),
    [
        ("running", "start", "1: ChildExistsError"),
        ("absent", "start", "1: ChildExistsError"),
        ("restarting", "start", "1: ChildExistsError"),
        ("running", "terminate", "halt a, release a, 1: ok"),
        ("absent", "terminate", "1: ok"),
        ("restarting", "terminate", "release a, 1: ok"),
        ("unknown", "terminate", "1: UnknownChildError"),
        ("running", "restart", "1: ChildRunningError"),
        ("absent", "restart", "start a, 1: ok"),
        ("restarting", "restart", "1: ChildRestartingError"),
        ("unknown", "restart", "1: UnknownChildError"),
        ("running", "delete", "1: ChildRunningError"),
        ("absent", "delete", "1: ok"),
        ("restarting", "delete", "1: ChildRestartingError"),
        ("unknown", "delete", "1: UnknownChildError"),
    ],
)
def test_what_a_request_does_depends_on_what_the_child_is_at(before: str, request_: str, log: str) -> None:
    play = family(TRANSIENT, backoff=BACKOFF)
    match before:
        case "absent":
            play.ends("a")
        case "restarting":
            play.fails("a")
        case _:
            pass
    name = "x" if before == "unknown" else "a"
    match request_:
        case "start":
            steps = play.state.start_child(1, spec("a"))
        case "terminate":
            steps = play.state.terminate_child(1, name)
        case "restart":
            steps = play.state.restart_child(1, name)
        case _:
            steps = play.state.delete_child(1, name)
    assert play.perform(steps) == log


def test_a_terminated_child_keeps_its_spec_unless_it_is_temporary() -> None:
    play = family(PERMANENT, TEMPORARY)
    play.perform(play.state.terminate_child(1, "a"))
    play.perform(play.state.terminate_child(2, "b"))
    assert status(play) == {"a": "absent"}
    with pytest.raises(UnknownChildError, match="'b'"):
        play.state.spec("b")


def test_a_terminated_child_does_not_come_back_when_its_backoff_is_over() -> None:
    play = family(PERMANENT, PERMANENT, strategy=ONE_FOR_ALL, backoff=BACKOFF)
    play.fails("a")
    assert play.perform(play.state.terminate_child(1, "a")) == "release a, 1: ok"
    assert play.backoff_over() == "revive b"


def test_a_child_deleted_and_added_during_a_backoff_is_not_started_twice() -> None:
    play = family(PERMANENT, backoff=BACKOFF)
    play.fails("a")
    play.perform(play.state.terminate_child(1, "a"))
    play.perform(play.state.delete_child(2, "a"))
    assert play.perform(play.state.start_child(3, spec("a"))) == "start a, 3: ok"
    assert play.backoff_over() == ""


def test_terminating_a_child_ends_its_row_of_restarts() -> None:
    play = family(PERMANENT, backoff=BACKOFF)
    play.fails("a")
    play.perform(play.state.terminate_child(1, "a"))
    play.perform(play.state.restart_child(2, "a"))
    assert play.fails("a") == "wait 1"


def test_a_restart_by_hand_that_fails_leaves_the_child_down() -> None:
    play = family(TRANSIENT, intensity=Intensity(0))
    play.ends("a")
    play.fails_to_start["a"] = 1
    assert play.perform(play.state.restart_child(1, "a")) == "start a, release a, 1: ChildStartError"
    assert status(play) == {"a": "absent"}


def test_requests_in_the_middle_of_a_group_restart_are_performed_afterwards_in_order() -> None:
    play = family(PERMANENT, PERMANENT, PERMANENT, strategy=ONE_FOR_ALL)
    play.slow = {"b"}
    assert play.fails("c") == "halt b"
    assert play.perform(play.state.terminate_child(1, "a")) == ""
    assert play.ends("b") == "halt a, revive a, revive b"
    assert play.perform(play.state.start_child(2, spec("z"))) == ""
    assert play.perform(play.state.delete_child(3, "a")) == ""
    assert play.started("b") == "revive c, halt a, release a, 1: ok, start z, 2: ok, 3: ok"


def test_requests_before_the_first_start_are_performed_after_it() -> None:
    play = Play(SupervisorState([spec("a")]))
    assert play.perform(play.state.start_child(1, spec("z"))) == ""
    assert play.start_all() == "start a, start z, 1: ok"


def test_a_child_that_ended_before_a_request_for_it_is_taken_up_is_judged_first() -> None:
    play = family(PERMANENT, TRANSIENT)
    play.slow = {"a"}
    play.fails("a")
    play.ends("b")
    play.perform(play.state.delete_child(1, "b"))
    assert play.started("a") == "release b, 1: ok"


def test_a_child_that_ended_after_it_was_to_be_terminated_is_not_restarted() -> None:
    play = family(PERMANENT, PERMANENT)
    play.slow = {"a"}
    play.fails("a")
    play.perform(play.state.terminate_child(1, "b"))
    play.fails("b")
    assert play.started("a") == "release b, 1: ok"


# -- the end --


def test_requests_are_refused_from_the_moment_when_the_supervisor_gives_up() -> None:
    play = family(PERMANENT, PERMANENT, intensity=Intensity(1))
    play.slow = {"a", "b"}
    assert play.fails("a") == "revive a"
    assert play.perform(play.state.terminate_child(1, "b")) == ""
    assert play.fails("a") == "1: SupervisorStoppingError, halt b"
    assert play.perform(play.state.delete_child(2, "a")) == "2: SupervisorStoppingError"
    assert play.ends("b") == "release b, release a, escalate"
    assert play.perform(play.state.restart_child(3, "a")) == "3: SupervisorStoppingError"


def test_who_gives_up_drops_a_pending_backoff() -> None:
    play = family(PERMANENT, PERMANENT, intensity=Intensity(1), backoff=BACKOFF)
    play.fails("a")
    assert play.fails("b") == "release b, release a, escalate"
    assert play.backoff_over() == ""


def test_late_events_are_ignored() -> None:
    play = family(TRANSIENT, PERMANENT, backoff=BACKOFF)
    play.ends("a")
    play.fails("b")
    for name in ("a", "b", "nobody"):
        assert play.started(name) == ""
        assert play.fails(name) == ""
    assert play.perform(play.state.backoff_over(99, play.now)) == ""
    assert play.backoff_over() == "revive b"


# -- tables, names, counts --


def test_two_children_of_one_name_are_refused() -> None:
    with pytest.raises(ChildExistsError, match="'a'"):
        SupervisorState([spec("a"), spec("a")])


def test_children_are_told_of_in_start_order() -> None:
    play = family(PERMANENT, TRANSIENT, TEMPORARY, backoff=BACKOFF)
    play.fails("a")
    play.ends("b")
    assert list(status(play).items()) == [("a", "restarting"), ("b", "absent"), ("c", "running")]
    assert play.state.count_children() == ChildCounts(specs=3, active=1)


def test_start_all_twice_is_illegal_and_says_so() -> None:
    state = SupervisorState([spec("a")])
    assert state.start_all() == (Start("a"),)
    with pytest.raises(IllegalTransitionError, match="from starting to starting"):
        state.start_all()


@pytest.mark.parametrize("current", Phase)
@pytest.mark.parametrize("following", Phase)
def test_a_supervisor_goes_only_where_the_table_says(current: Phase, following: Phase) -> None:
    if following in TRANSITIONS[current]:
        check_transition(current, following)
    else:
        with pytest.raises(IllegalTransitionError, match=f"from {current.value} to {following.value}"):
            check_transition(current, following)


@pytest.mark.parametrize("current", ChildStatus)
@pytest.mark.parametrize("following", ChildStatus)
def test_a_child_goes_only_where_the_table_says(current: ChildStatus, following: ChildStatus) -> None:
    if following in CHILD_TRANSITIONS[current]:
        check_child_transition("a", current, following)
    else:
        with pytest.raises(
            IllegalTransitionError, match=f"'a' cannot go from {current.value} to {following.value}"
        ):
            check_child_transition("a", current, following)


def lines_to_end_one_by_one(children: int) -> int:
    """The effort of starting so many significant children, and of their ends until the last one counts."""
    specs = [spec(str(number), TRANSIENT, significant=True) for number in range(children)]
    with count_lines() as effort:
        state = SupervisorState(specs, auto_shutdown=ALL)
        state.start_all()
        for child in specs:
            state.child_started(child.name, 0.0)
        for child in specs:
            assert state.phase is Phase.RESTING
            state.child_ended(child.name, None, 1.0, 0.0)
    assert state.phase is Phase.ENDED
    return effort.lines


def test_the_effort_of_an_automatic_shutdown_grows_with_the_number_of_children_only() -> None:
    assert lines_to_end_one_by_one(400) < 5 * lines_to_end_one_by_one(100)
