"""What a supervisor can be asked: by actors, tasks and threads, at any time."""

from __future__ import annotations

from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorRef, ActorSystem, SystemThread, Terminated, TrioActor
from runtime.events import DeadLetter
from runtime.supervision import (
    Backoff,
    ChildCounts,
    ChildExistsError,
    ChildInfo,
    ChildRestartingError,
    ChildRunningError,
    ChildSpec,
    ChildStartError,
    ChildStatus,
    CountChildren,
    DeleteChild,
    FindChild,
    Intensity,
    Restart,
    RestartChild,
    StartChild,
    Strategy,
    Supervisor,
    SupervisorStoppingError,
    TerminateChild,
    UnknownChildError,
    WhichChildren,
)
from tests.runtime.samples import Echo, run_in_threads
from tests.runtime.supervision.family import PATIENT, Diary, Family, fail, hang, order
from tests.runtime.supervision.play import BoomError


@pytest.fixture
def diary() -> Diary:
    return Diary()


def statuses(children: tuple[ChildInfo, ...]) -> dict[str, str]:
    return {child.name: child.status.value for child in children}


async def test_a_child_is_added_last_and_its_ref_is_the_answer(system: ActorSystem, diary: Diary) -> None:
    family = await Family.start(system, diary, diary.spec("a"))

    ref = await family.ask(StartChild(diary.spec("z")))

    assert diary.read() == "z starts"
    assert await ref.ask("hello", block=False) == (1, "hello")
    assert await family.ask(FindChild("z")) is ref
    assert await family.ask(WhichChildren()) == (
        ChildInfo("a", ChildStatus.RUNNING, Restart.PERMANENT, significant=False),
        ChildInfo("z", ChildStatus.RUNNING, Restart.PERMANENT, significant=False),
    )


async def test_adding_is_answered_when_the_async_start_is_over(system: ActorSystem, diary: Diary) -> None:
    gate = trio.Event()
    diary.plan("z", "on_start", lambda _: gate.wait())
    family = await Family.start(system, diary, diary.spec("a"))

    adding = family.supervisor.ask(StartChild(diary.spec("z")), block=False)
    terminating = family.supervisor.ask(TerminateChild("z"), block=False)
    found = await family.ask(FindChild("z"))
    early = found.ask("mail may come before the start is over", block=False)
    await wait_all_tasks_blocked()
    assert not adding.done
    assert not terminating.done
    assert statuses(await family.ask(WhichChildren())) == {"a": "running", "z": "starting"}
    gate.set()

    assert await adding is found
    assert await terminating is None
    await early.settled()
    assert statuses(await family.ask(WhichChildren())) == {"a": "running", "z": "absent"}


@pytest.mark.parametrize("where", ["init", "on_start"])
async def test_a_child_that_cannot_be_started_is_not_added(
    system: ActorSystem, diary: Diary, where: str
) -> None:
    family = await Family.start(system, diary, diary.spec("a"), intensity=Intensity(0))
    diary.plan("z", where, fail)

    with pytest.raises(ChildStartError) as raised:
        await family.ask(StartChild(diary.spec("z")))

    assert isinstance(raised.value.__cause__, BoomError)
    assert await family.ask(FindChild("z")) is None
    assert await family.ask(CountChildren()) == ChildCounts(specs=1, active=1)
    assert await family.ask(StartChild(diary.spec("z"))) is not None


@pytest.mark.parametrize("state", ["running", "absent", "restarting", "unknown"])
async def test_what_a_request_does_depends_on_what_the_child_is_at(
    autojump_clock: MockClock, diary: Diary, system: ActorSystem, state: str
) -> None:
    began = autojump_clock.current_time()

    async def family_at(state: str) -> Family:
        family = await Family.start(
            system, diary, diary.spec("b", Restart.TRANSIENT), backoff=Backoff(first_seconds=10)
        )
        if state == "absent":
            await family.children["b"].stop(block=False)
        elif state == "restarting":
            family.children["b"].tell(fail)
        await wait_all_tasks_blocked()
        return family

    async def outcome(request: Any) -> Any:
        family = await family_at(state)
        try:
            answer = await family.ask(request)
        except (LookupError, ValueError, RuntimeError) as error:
            return type(error)
        kind: type[Any] = answer.__class__
        if kind is ActorRef:
            assert (answer is family.children["b"]) is isinstance(request, FindChild)
            assert answer is await family.ask(FindChild("b"))
        return kind

    name = "x" if state == "unknown" else "b"
    outcomes = [
        await outcome(StartChild(diary.spec("b"))),
        await outcome(TerminateChild(name)),
        await outcome(RestartChild(name)),
        await outcome(DeleteChild(name)),
        await outcome(FindChild(name)),
    ]

    nothing = type(None)
    assert (
        outcomes
        == {
            "running": [ChildExistsError, nothing, ChildRunningError, ChildRunningError, ActorRef],
            "absent": [ChildExistsError, nothing, ActorRef, nothing, nothing],
            "restarting": [ChildExistsError, nothing, ChildRestartingError, ChildRestartingError, ActorRef],
            "unknown": [ChildExistsError, *[UnknownChildError] * 3, nothing],
        }[state]
    )
    assert autojump_clock.current_time() == began


async def test_a_terminated_child_is_over_its_mail_is_settled_and_its_watchers_know(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b"))
    b = family.children["b"]
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)
    gate = trio.Event()
    order(b, lambda _: gate.wait())
    b.tell("told")
    asked = b.ask("asked", block=False)
    stopping = b.stop(block=False)
    terminating = family.supervisor.ask(TerminateChild("b"), block=False)
    await wait_all_tasks_blocked()
    assert not terminating.done
    gate.set()

    assert await terminating is None
    with pytest.raises(pykka.ActorDeadError):
        await asked
    assert await stopping is True
    await wait_all_tasks_blocked()
    assert family.reason_of_end(b) is None
    assert [letter.message for letter in letters] == ["told"]
    with pytest.raises(pykka.ActorDeadError):
        b.tell("too late")
    assert await b.stop(block=False) is False


async def test_a_restart_by_hand_is_a_new_actor_and_news_of_the_old_one_is_old(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b", Restart.TRANSIENT))
    old = family.children["b"]
    await family.ask(TerminateChild("b"))
    new = await family.ask(RestartChild("b"))

    old.kill()
    await old.stop(block=False, drain=False)

    assert new is not old
    assert await new.ask("hello", block=False) == (2, "hello")
    new.tell(fail)
    assert await new.ask("hello", block=False) == (3, "hello")
    assert family.reason_of_end(old) is None


async def test_a_restart_by_hand_that_fails_leaves_the_child_down(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b"), intensity=Intensity(0))
    await family.ask(TerminateChild("b"))
    diary.plan("b", "on_start", fail)

    with pytest.raises(ChildStartError):
        await family.ask(RestartChild("b"))

    assert statuses(await family.ask(WhichChildren())) == {"b": "absent"}
    assert await family.ask(DeleteChild("b")) is None
    assert await family.ask(CountChildren()) == ChildCounts(specs=0, active=0)


async def test_a_child_terminated_during_its_backoff_answers_its_mail_at_once(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b"), backoff=Backoff(first_seconds=10))
    b = family.children["b"]
    began = autojump_clock.current_time()
    b.tell(fail)
    waiting = b.ask("waiting", block=False)

    await family.ask(TerminateChild("b"))

    with pytest.raises(pykka.ActorDeadError):
        await waiting
    await wait_all_tasks_blocked()
    assert isinstance(family.reason_of_end(b), BoomError)
    assert autojump_clock.current_time() == began
    await trio.sleep_until(began + 100)
    assert diary.read() == "b fails"


async def test_requests_during_a_group_restart_wait_for_its_end_and_questions_do_not(
    system: ActorSystem, diary: Diary
) -> None:
    specs = [diary.spec(name) for name in "abc"]
    family = await Family.start(system, diary, *specs, strategy=Strategy.ONE_FOR_ALL)
    gate = trio.Event()
    diary.plan("b", "on_start", lambda _: gate.wait())
    family.children["b"].tell(fail)
    await wait_all_tasks_blocked()
    diary.read()

    requests = [
        family.supervisor.ask(request, block=False)
        for request in (
            TerminateChild("a"),
            StartChild(diary.spec("z")),
            DeleteChild("a"),
            DeleteChild("b"),
        )
    ]
    await wait_all_tasks_blocked()
    assert [request.done for request in requests] == [False] * 4
    assert statuses(await family.ask(WhichChildren())) == {
        "a": "running",
        "b": "reviving",
        "c": "restarting",
    }
    assert await family.ask(CountChildren()) == ChildCounts(specs=3, active=2)
    assert await family.ask(FindChild("c")) is family.children["c"]
    gate.set()

    assert await requests[0] is None
    assert await requests[1] is await family.ask(FindChild("z"))
    assert await requests[2] is None
    with pytest.raises(ChildRunningError):
        await requests[3]
    assert diary.read() == "c starts, a stops, z starts"


async def test_requests_are_refused_when_the_supervisor_gives_up(system: ActorSystem, diary: Diary) -> None:
    family = await Family.start(system, diary, diary.spec("a"), diary.spec("b"), intensity=Intensity(0))
    family.children["a"].tell(hang)
    family.children["b"].tell(fail)
    await wait_all_tasks_blocked()

    refused = family.supervisor.ask(StartChild(diary.spec("z")), block=False)
    with pytest.raises(SupervisorStoppingError):
        await refused

    family.children["a"].kill()
    await wait_all_tasks_blocked()
    with pytest.raises(pykka.ActorDeadError):
        await family.supervisor.ask(StartChild(diary.spec("z")), block=False)


async def test_a_request_that_was_told_is_performed_and_answers_nobody(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("a"))

    family.supervisor.tell(StartChild(diary.spec("z")))
    family.supervisor.tell(DeleteChild("nobody"))
    family.supervisor.tell(TerminateChild("a"))

    assert await family.settled() == "z starts, a stops"
    assert statuses(await family.ask(WhichChildren())) == {"a": "absent", "z": "running"}


async def test_a_child_may_have_siblings_started_by_asking_from_a_task(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("a"))
    started: list[ActorRef[Any]] = []

    async def ask(name: str) -> None:
        started.append(await family.ask(StartChild(diary.spec(name))))

    order(family.children["a"], lambda child: (child.spawn(ask, "y"), child.spawn(ask, "z")))
    await wait_all_tasks_blocked()

    assert (await family.ask(CountChildren())) == ChildCounts(specs=3, active=3)
    assert {await ref.ask("hello", block=False) for ref in started} == {(1, "hello")}


def ask_in_thread(ref: ActorRef[Any], message: Any) -> Any:
    return ref.ask(message, block=False).get(timeout=60)


def test_a_thread_may_ask(system_thread: SystemThread) -> None:
    supervisor = system_thread.system.spawn(Supervisor, [ChildSpec("a", Echo)], intensity=PATIENT)

    ref = ask_in_thread(supervisor, StartChild(ChildSpec("z", Echo)))
    assert ask_in_thread(ref, "hello") == "hello"
    assert ask_in_thread(supervisor, CountChildren()) == ChildCounts(specs=2, active=2)
    with pytest.raises(ChildExistsError):
        ask_in_thread(supervisor, StartChild(ChildSpec("z", Echo)))
    ref.kill()
    assert ask_in_thread(ref, "again") == "again"
    assert ask_in_thread(supervisor, TerminateChild("z")) is None
    assert ask_in_thread(supervisor, DeleteChild("z")) is None
    with pytest.raises(pykka.ActorDeadError):
        ask_in_thread(ref, "too late")


async def test_threads_may_ask_all_at_once(system: ActorSystem) -> None:
    supervisor = system.spawn(Supervisor, intensity=Intensity(100_000, 5.0))

    def work(number: int) -> None:
        for turn in range(25):
            name = f"{number}/{turn}"
            ref = ask_in_thread(supervisor, StartChild(ChildSpec(name, Echo)))
            ref.kill()
            assert ask_in_thread(ref, name) == name
            ask_in_thread(supervisor, TerminateChild(name))
            again = ask_in_thread(supervisor, RestartChild(name))
            assert ask_in_thread(again, name) == name
            if turn % 2:
                ask_in_thread(supervisor, TerminateChild(name))
                ask_in_thread(supervisor, DeleteChild(name))

    await run_in_threads(4, work)

    assert await supervisor.ask(CountChildren(), block=False) == ChildCounts(specs=52, active=52)


async def test_a_child_that_watches_a_sibling_learns_of_its_final_end(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("a"), diary.spec("b"))
    a, b = family.children.values()
    order(a, lambda child: child.watch(b))
    await wait_all_tasks_blocked()

    b.tell(fail)
    await wait_all_tasks_blocked()
    assert diary.heard == []
    await family.ask(TerminateChild("b"))
    await wait_all_tasks_blocked()

    assert diary.heard == [("a", 1, Terminated(b, None))]


async def test_a_spec_s_factory_is_called_for_each_life(system: ActorSystem) -> None:
    made: list[TrioActor] = []

    def make() -> TrioActor:
        made.append(Echo())
        return made[-1]

    supervisor = system.spawn(Supervisor, [ChildSpec("a", make)], intensity=PATIENT)
    ref = await supervisor.ask(FindChild("a"), block=False)
    for _ in range(3):
        ref.kill()
        assert await ref.ask("hello", block=False) == "hello"

    assert len(made) == 4
    assert {actor.actor_ref for actor in made} == {ref}
