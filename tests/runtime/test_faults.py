"""Faults put in on purpose: each at each seam where it makes sense."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pykka
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import (
    ActorFailed,
    ActorKilledError,
    ActorRef,
    ActorSystem,
    DeadLetter,
    IdleTimeout,
    Mailbox,
    Overflow,
    SchedulerHeld,
    SystemThread,
    Terminated,
    TrioActor,
    open_system,
)
from runtime.faults import (
    FAULTS_OF,
    Crash,
    Delay,
    Drop,
    Duplicate,
    Fault,
    FaultInjected,
    FaultPlan,
    FaultRule,
    Hang,
    InjectedError,
    Seam,
    install,
)
from runtime.supervision import Backoff, ChildSpec, FindChild, Supervisor
from runtime.testing import ManualClock, Probe, open_seeded_system, run_seeded
from tests.runtime.samples import Echo, Obedient, Recorder

ALL_FAULTS: tuple[Fault, ...] = (Drop(), Delay(1.0), Duplicate(), Crash(), Hang())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Subject(TrioActor):
    """What the faults happen to. It notes, and says in a message, what it does."""

    expected_errors: ClassVar[tuple[type[Exception], ...] | None] = ()

    def __init__(self, notes: list[Any]) -> None:
        super().__init__()
        self.notes = notes

    def on_receive(self, message: Any) -> Any:
        self.notes.append(message)
        match message:
            case "task":
                self.spawn(self.work)
            case "timer":
                self.timers.start("once", 1.0, "rang")
            case "periodic":
                self.timers.start_periodic("often", 1.0, "rang")
            case "cancel":
                self.timers.cancel("once")
            case "slow":
                return self.slow()
            case _:
                pass
        return f"answer to {message}"

    async def slow(self) -> str:
        await trio.sleep(1)
        self.notes.append("was slow")
        return "slow answer"

    async def work(self) -> None:
        self.notes.append("worked")

    def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        self.notes.append("failed")


class Scene:
    """A system with one fault in it, at its subject."""

    def __init__(self, system: ActorSystem, clock: ManualClock) -> None:
        self.system = system
        self.clock = clock
        self.notes: list[Any] = []
        self.letters: list[DeadLetter] = []
        self.ref = system.spawn(Subject, self.notes)
        system.events.subscribe(self.letters.append, DeadLetter)

    async def after(self, seconds: float) -> list[Any]:
        await self.clock.advance(seconds)
        return self.notes

    @property
    def dropped(self) -> list[Any]:
        return [letter.message for letter in self.letters if letter.reason == "fault: dropped"]


def scene_with(
    seam: Seam, fault: Fault
) -> Callable[[Callable[[Scene], Any]], Callable[[ManualClock], Any]]:
    def decorate(test: Callable[[Scene], Any]) -> Callable[[ManualClock], Any]:
        TESTED.add((seam, type(fault)))

        async def in_scene(clock: ManualClock) -> None:
            plan = FaultPlan((FaultRule(seam, fault, actor="Subject", limit=1),))
            async with open_system(faults=plan) as system:
                await test(Scene(system, clock))
                assert system.faults is not None
                assert [event.seam for event in system.faults.injected] == [seam]

        in_scene.__name__ = test.__name__
        return in_scene

    return decorate


TESTED: set[tuple[Seam, type[Fault]]] = set()


@scene_with(Seam.SEND, Drop())
async def test_a_message_that_is_dropped_on_its_way_is_a_dead_letter(scene: Scene) -> None:
    scene.ref.tell("lost")
    scene.ref.tell("found")

    assert await scene.after(0) == ["found"]
    assert scene.dropped == ["lost"]


@scene_with(Seam.SEND, Drop())
async def test_whoever_asked_a_dropped_message_waits_until_the_actor_ends(scene: Scene) -> None:
    reply = scene.ref.ask("lost", block=False)
    await scene.after(1000)
    assert not reply.done
    assert scene.dropped == ["lost"]

    await scene.ref.stop(block=False)
    with pytest.raises(pykka.ActorDeadError):
        await reply


@scene_with(Seam.SEND, Delay(5.0))
async def test_a_message_that_is_delayed_on_its_way_is_overtaken(scene: Scene) -> None:
    reply = scene.ref.ask("late", block=False)
    scene.ref.tell("early")

    assert await scene.after(4.9) == ["early"]
    assert await scene.after(0.1) == ["early", "late"]
    assert await reply == "answer to late"


@scene_with(Seam.SEND, Delay(5.0))
async def test_a_delayed_message_that_comes_too_late_is_a_dead_letter(scene: Scene) -> None:
    scene.ref.tell("late")
    await scene.after(1)
    await scene.ref.stop(block=False)

    assert [(letter.message, letter.reason) for letter in scene.letters] == [("late", "the actor is dead")]


@scene_with(Seam.SEND, Delay(5.0))
async def test_a_delayed_ask_that_comes_too_late_is_answered(scene: Scene) -> None:
    reply = scene.ref.ask("late", block=False)
    scene.ref.kill()

    with pytest.raises(pykka.ActorDeadError):
        await reply


@scene_with(Seam.SEND, Duplicate())
async def test_a_message_that_is_sent_twice_is_handled_twice_and_answered_once(scene: Scene) -> None:
    reply = scene.ref.ask("twice", block=False)
    scene.ref.tell("after")

    assert await scene.after(0) == ["twice", "twice", "after"]
    assert await reply == "answer to twice"


@scene_with(Seam.SEND, Crash("builtins:ConnectionError"))
async def test_a_send_that_crashes_raises_in_the_sender(scene: Scene) -> None:
    with pytest.raises(ConnectionError, match="fault: sending to Subject"):
        scene.ref.tell("refused")

    scene.ref.tell("accepted")
    assert await scene.after(0) == ["accepted"]


@scene_with(Seam.SEND, Crash())
async def test_an_ask_that_crashes_on_its_way_has_the_error_for_an_answer(scene: Scene) -> None:
    with pytest.raises(InjectedError):
        await scene.ref.ask("refused", block=False)
    assert scene.notes == []


@scene_with(Seam.DELIVER, Drop())
async def test_a_message_that_is_dropped_before_its_handler_is_a_dead_letter(scene: Scene) -> None:
    reply = scene.ref.ask("lost", block=False)
    scene.ref.tell("found")

    assert await scene.after(0) == ["found"]
    assert scene.dropped == ["lost"]
    assert not reply.done
    await scene.ref.stop(block=False)
    with pytest.raises(pykka.ActorDeadError):
        await reply


@scene_with(Seam.DELIVER, Delay(5.0))
async def test_a_delivery_that_is_delayed_is_overtaken(scene: Scene) -> None:
    reply = scene.ref.ask("late", block=False)
    scene.ref.tell("early")

    assert await scene.after(4.9) == ["early"]
    assert await scene.after(0.1) == ["early", "late"]
    assert await reply == "answer to late"


@scene_with(Seam.DELIVER, Duplicate())
async def test_a_message_that_is_delivered_twice_comes_again_behind_the_mail(scene: Scene) -> None:
    reply = scene.ref.ask("twice", block=False)
    scene.ref.tell("after")

    assert await scene.after(0) == ["twice", "after", "twice"]
    assert await reply == "answer to twice"


@scene_with(Seam.DELIVER, Crash())
async def test_a_delivery_that_crashes_fails_the_actor_before_its_handler(scene: Scene) -> None:
    scene.ref.tell("unseen")

    assert await scene.after(0) == ["failed"]
    assert [letter.message for letter in scene.letters] == ["unseen"]


@scene_with(Seam.HANDLER, Delay(5.0))
async def test_a_handler_that_is_delayed_keeps_its_actor_busy(scene: Scene) -> None:
    reply = scene.ref.ask("slow", block=False)
    scene.ref.tell("waits")

    assert await scene.after(4.9) == []
    assert await scene.after(0.2) == ["slow"]
    assert await scene.after(1.0) == ["slow", "was slow", "waits"]
    assert await reply == "slow answer"


@scene_with(Seam.HANDLER, Crash())
async def test_a_handler_that_crashes_has_done_its_work(scene: Scene) -> None:
    with pytest.raises(InjectedError, match="fault: a handler of Subject"):
        await scene.ref.ask("done", block=False)

    assert await scene.after(0) == ["done", "failed"]


@scene_with(Seam.HANDLER, Crash())
async def test_an_async_handler_that_crashes_has_done_its_work(scene: Scene) -> None:
    scene.ref.tell("slow")

    assert await scene.after(1) == ["slow", "was slow", "failed"]


@scene_with(Seam.HANDLER, Hang())
async def test_a_handler_that_hangs_is_ended_by_a_kill(scene: Scene) -> None:
    probe = Probe(scene.system)
    probe.watch(scene.ref)
    reply = scene.ref.ask("hangs", block=False)

    assert await scene.after(1000) == []
    assert scene.ref.is_alive()
    scene.ref.kill()

    assert isinstance((await probe.expect_terminated(scene.ref)).reason, ActorKilledError)
    with pytest.raises(pykka.ActorDeadError):
        await reply


@scene_with(Seam.REPLY, Drop())
async def test_an_answer_that_is_dropped_never_comes(scene: Scene) -> None:
    first, second = scene.ref.ask("first", block=False), scene.ref.ask("second", block=False)

    assert await scene.after(1000) == ["first", "second"]
    assert await second == "answer to second"
    assert not first.done
    await scene.ref.stop(block=False)
    with pytest.raises(pykka.ActorDeadError):
        await first


@scene_with(Seam.REPLY, Delay(5.0))
async def test_an_answer_that_is_delayed_is_overtaken(scene: Scene) -> None:
    first, second = scene.ref.ask("first", block=False), scene.ref.ask("second", block=False)

    await scene.after(4.9)
    assert second.done
    assert not first.done
    await scene.after(0.1)
    assert await first == "answer to first"


@scene_with(Seam.REPLY, Crash("builtins:OSError"))
async def test_an_answer_that_crashes_is_an_error_and_fails_nobody(scene: Scene) -> None:
    with pytest.raises(OSError, match="fault: the answer of Subject"):
        await scene.ref.ask("first", block=False)

    assert scene.notes == ["first"]
    assert scene.ref.is_alive()


@scene_with(Seam.TIMER, Drop())
async def test_a_timer_that_is_dropped_does_not_ring_and_a_periodic_one_goes_on(scene: Scene) -> None:
    scene.ref.tell("periodic")

    assert await scene.after(1.5) == ["periodic"]
    assert scene.dropped == ["rang"]
    assert await scene.after(1.0) == ["periodic", "rang"]


@scene_with(Seam.TIMER, Delay(5.0))
async def test_a_timer_that_is_delayed_rings_later(scene: Scene) -> None:
    scene.ref.tell("timer")

    assert await scene.after(5.9) == ["timer"]
    assert await scene.after(0.1) == ["timer", "rang"]


@scene_with(Seam.TIMER, Delay(5.0))
async def test_a_delayed_timer_that_is_cancelled_does_not_ring(scene: Scene) -> None:
    scene.ref.tell("timer")
    await scene.after(2)
    scene.ref.tell("cancel")

    assert await scene.after(1000) == ["timer", "cancel"]


@scene_with(Seam.TASK, Delay(5.0))
async def test_a_task_that_is_delayed_begins_later(scene: Scene) -> None:
    scene.ref.tell("task")

    assert await scene.after(4.9) == ["task"]
    assert await scene.after(0.1) == ["task", "worked"]


@scene_with(Seam.TASK, Crash())
async def test_a_task_that_crashes_fails_its_actor(scene: Scene) -> None:
    scene.ref.tell("task")

    assert await scene.after(0) == ["task", "failed"]


@scene_with(Seam.TASK, Hang())
async def test_a_task_that_hangs_ends_with_its_actor(scene: Scene) -> None:
    scene.ref.tell("task")

    assert await scene.after(1000) == ["task"]
    assert await scene.ref.stop(block=False) is True


def test_each_fault_at_each_seam_is_tested() -> None:
    assert {(seam, fault) for seam, faults in FAULTS_OF.items() for fault in faults} == TESTED


def test_the_readme_has_the_table() -> None:
    readme = (Path(__file__).parents[2] / "runtime" / "faults" / "README.md").read_text(encoding="utf-8")

    for seam, faults in FAULTS_OF.items():
        for fault, effect in faults.items():
            assert f"| {seam.value} | {fault.__name__} | {effect} |\n" in readme


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("seam", Seam)
def test_a_fault_that_makes_no_sense_at_its_seam_is_refused(seam: Seam, fault: Fault) -> None:
    if type(fault) in FAULTS_OF[seam]:
        assert FaultRule(seam, fault).fault is fault
    else:
        message = f"{type(fault).__name__} makes no sense at the seam '{seam.value}'; allowed: "
        with pytest.raises(ValueError, match=message):
            FaultRule(seam, fault)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Delay(-1.0), r"Delay.seconds is -1.0; allowed: a finite number >= 0"),
        (lambda: Crash("builtins:SystemExit"), "Crash.error is 'builtins:SystemExit'; allowed: "),
        (lambda: Crash("nowhere:Error"), "Crash.error is 'nowhere:Error'; allowed: "),
        (lambda: FaultRule(Seam.SEND, Drop(), probability=1.5), "FaultRule.probability is 1.5; allowed: "),
        (lambda: FaultRule(Seam.SEND, Drop(), nth=0), "FaultRule.nth is 0; allowed: "),
        (lambda: FaultRule(Seam.SEND, Drop(), limit=0), "FaultRule.limit is 0; allowed: "),
    ],
)
def test_a_value_that_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_plan_travels_as_json() -> None:
    plan = FaultPlan(
        tuple(
            FaultRule(seam, fault, actor="Session", message="Prompt", probability=0.5, nth=None, limit=3)
            for seam in Seam
            for fault in ALL_FAULTS
            if type(fault) in FAULTS_OF[seam]
        ),
        seed=42,
    )

    assert msgspec.json.decode(msgspec.json.encode(plan), type=FaultPlan) == plan


class Prompt(str):
    __slots__ = ()


async def tell_all(*refs: ActorRef[Any]) -> None:
    for ref in refs:
        for message in (1, "text", Prompt("prompt")):
            ref.tell(message)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("rule", "lost_of_named", "lost_of_other"),
    [
        ({}, 3, 3),
        ({"actor": "Recorder"}, 3, 3),
        ({"actor": "named"}, 3, 0),
        ({"actor": "Echo"}, 0, 0),
        ({"message": "int"}, 1, 1),
        ({"message": "str"}, 2, 2),
        ({"message": "Prompt", "actor": "named"}, 1, 0),
        ({"nth": 5}, 0, 1),
        ({"limit": 4}, 3, 1),
        ({"probability": 0.0}, 0, 0),
    ],
)
async def test_a_rule_concerns(rule: dict[str, Any], lost_of_named: int, lost_of_other: int) -> None:
    plan = FaultPlan((FaultRule(Seam.DELIVER, Drop(), **rule),))
    named: list[Any] = []
    other: list[Any] = []
    async with open_system(faults=plan) as system:
        await tell_all(system.spawn_named("named", Recorder, named), system.spawn(Recorder, other))

    assert (3 - len(named), 3 - len(other)) == (lost_of_named, lost_of_other)


async def test_the_first_rule_that_takes_an_occurrence_has_it() -> None:
    rules = (
        FaultRule(Seam.DELIVER, Drop(), message="int", limit=1),
        FaultRule(Seam.DELIVER, Duplicate(), message="int", limit=1),
    )
    notes: list[int] = []
    async with open_system(faults=FaultPlan(rules)) as system:
        ref = system.spawn(Recorder, notes)
        for number in range(3):
            ref.tell(number)
        await wait_all_tasks_blocked()

        assert notes == [1, 2, 1]
        assert system.faults is not None
        assert [event.rule for event in system.faults.injected] == [0, 1]


async def test_supervisors_and_probes_are_concerned_only_when_they_are_named() -> None:
    rules = tuple(FaultRule(seam, Drop()) for seam in (Seam.SEND, Seam.DELIVER, Seam.REPLY, Seam.TIMER))
    async with open_system(faults=FaultPlan(rules)) as system:
        probe = Probe(system)
        spec = ChildSpec("child", Obedient)
        supervisor = system.spawn(Supervisor, [spec], backoff=Backoff(1.0))
        child = await supervisor.ask(FindChild("child"), block=False)
        probe.ref.tell("untouched")

        assert child.is_alive()
        await probe.expect("untouched")

    plan = FaultPlan((FaultRule(Seam.SEND, Crash(), actor="Supervisor"),))
    async with open_system(faults=plan) as system:
        with pytest.raises(InjectedError):
            await system.spawn(Supervisor, []).ask(FindChild("child"), block=False)


async def test_what_the_runtime_itself_says_is_never_touched() -> None:
    rules = tuple(
        FaultRule(seam, Drop(), actor="TrioActor") for seam in (Seam.SEND, Seam.DELIVER, Seam.REPLY)
    )
    notes: list[Any] = []

    class Watcher(Recorder):
        def on_start(self) -> None:
            self.watch(watched)

    async with open_system(faults=FaultPlan(rules)) as system:
        watched = system.spawn(Echo)
        system.spawn(Watcher, notes)
        system.spawn(Supervisor, [ChildSpec("child", Echo)])
        await wait_all_tasks_blocked()

        assert await watched.stop(block=False) is True
        await wait_all_tasks_blocked()

    assert notes == [Terminated(watched, None)]


async def test_each_fault_is_recorded_and_published(system: ActorSystem) -> None:
    published: list[FaultInjected] = []
    injector = install(system, FaultPlan((FaultRule(Seam.SEND, Drop(), message="int", nth=2),)))
    system.events.subscribe(published.append, FaultInjected)
    ref = system.spawn_named("poor", Recorder, [])

    for message in ("text", 1, 2, 3):
        ref.tell(message)

    expected = FaultInjected(0, Seam.SEND, Drop(), "poor", "int", 2)
    assert injector.injected == (expected,)
    assert published == [expected]


async def test_no_fault_comes_after_stop(system: ActorSystem) -> None:
    injector = install(system, FaultPlan((FaultRule(Seam.SEND, Drop()),)))
    notes: list[int] = []
    ref = system.spawn(Recorder, notes)

    ref.tell(1)
    injector.stop()
    ref.tell(2)
    await wait_all_tasks_blocked()

    assert notes == [2]


async def test_a_system_has_one_plan(system: ActorSystem) -> None:
    install(system, FaultPlan(()))

    with pytest.raises(ValueError, match="a plan of faults already"):
        install(system, FaultPlan(()))


async def test_an_actor_that_listens_to_faults_does_not_cause_some() -> None:
    notes: list[Any] = []
    async with open_system(faults=FaultPlan((FaultRule(Seam.SEND, Duplicate()),))) as system:
        system.events.subscribe(system.spawn(Recorder, notes), FaultInjected, DeadLetter, ActorFailed)
        system.spawn(Echo).tell("hello")
        await wait_all_tasks_blocked()

    assert [type(note) for note in notes] == [FaultInjected]


class Bounded(Recorder):
    mailbox: ClassVar[Mailbox | None] = Mailbox(limit=2, overflow=Overflow.DROP_OLDEST)


class Rejecting(Recorder):
    mailbox: ClassVar[Mailbox | None] = Mailbox(limit=1)


async def test_a_bounded_mailbox_stays_bounded() -> None:
    plan = FaultPlan((FaultRule(Seam.SEND, Duplicate()),))
    notes: list[int] = []
    async with open_system(faults=plan) as system:
        ref = system.spawn(Bounded, notes)
        ref.tell(1)
        ref.tell(2)
        await wait_all_tasks_blocked()

        assert notes == [2, 2]
        assert system.dead_letters == 2


async def test_a_message_that_arrives_late_at_a_full_mailbox_is_a_dead_letter(clock: ManualClock) -> None:
    plan = FaultPlan((FaultRule(Seam.SEND, Delay(1.0)),))
    notes: list[int] = []
    async with open_system(faults=plan) as system:
        ref = system.spawn(Rejecting, notes)
        ref.tell(1)
        ref.tell(2)
        await clock.advance(1)
        assert len(notes) + system.dead_letters == 2

        ref.tell(3)
        await clock.advance(1)
        assert 3 in notes


async def test_an_idle_timeout_goes_on_under_faults(clock: ManualClock) -> None:
    notes: list[Any] = []

    class Idle(Recorder):
        def on_start(self) -> None:
            self.set_idle_timeout(3.0)

    async with open_system(
        faults=FaultPlan((FaultRule(Seam.DELIVER, Delay(1.0), message="str"),))
    ) as system:
        system.spawn(Idle, notes).tell("late")
        await clock.advance(5)

    assert notes == ["late", IdleTimeout(3.0)]


async def test_the_faults_go_on_after_a_restart(clock: ManualClock) -> None:
    notes: list[Any] = []
    plan = FaultPlan((FaultRule(Seam.DELIVER, Crash(), message="int", limit=1),))
    async with open_system(faults=plan) as system:
        supervisor = system.spawn(Supervisor, [ChildSpec("child", lambda: Subject(notes))])
        child = await supervisor.ask(FindChild("child"), block=False)
        child.tell(1)
        child.tell(2)
        await clock.advance(1)

        assert notes == ["failed", 2]


async def test_an_ask_that_was_dropped_between_two_incarnations_is_answered_at_the_end(
    clock: ManualClock,
) -> None:
    plan = FaultPlan((FaultRule(Seam.SEND, Drop(), message="int"),))
    async with open_system(faults=plan) as system:
        spec = ChildSpec("child", lambda: Subject([]))
        supervisor = system.spawn(Supervisor, [spec], backoff=Backoff(10.0))
        child = await supervisor.ask(FindChild("child"), block=False)
        child.kill()
        await clock.advance(1)
        reply = child.ask(1, block=False)
        await clock.advance(20)
        assert child.is_alive()
        assert not reply.done

    assert reply.done


async def lossy_conversation(plan_seed: int) -> tuple[list[Any], tuple[FaultInjected, ...]]:
    rules = (
        FaultRule(Seam.SEND, Drop(), probability=0.1),
        FaultRule(Seam.DELIVER, Duplicate(), probability=0.1),
        FaultRule(Seam.HANDLER, Delay(0.5), probability=0.1),
        FaultRule(Seam.SEND, Delay(0.3), probability=0.1),
    )
    notes: list[Any] = []
    async with open_seeded_system(faults=FaultPlan(rules, seed=plan_seed)) as system:
        refs = [system.spawn(Recorder, notes) for _ in range(5)]
        for number in range(50):
            refs[number % 5].tell(number)
            await trio.sleep(0.01)
        await trio.sleep(60)
        assert system.faults is not None
        return notes, system.faults.injected


def test_the_same_seeds_put_in_the_same_faults() -> None:
    first, again = (run_seeded(lossy_conversation, 7, seed=3) for _ in range(2))
    other_faults = run_seeded(lossy_conversation, 8, seed=3)

    assert first == again
    assert first[1] != other_faults[1]
    assert len({event.rule for event in first[1]}) == 4


async def test_the_chances_of_one_rule_do_not_depend_on_the_others() -> None:
    drop = FaultRule(Seam.DELIVER, Drop(), probability=0.3, message="int")
    crowd = FaultRule(Seam.SEND, Duplicate(), probability=0.5, message="str")
    injected: list[list[int]] = []
    for rules in ((drop,), (drop, crowd)):
        async with open_system(faults=FaultPlan(rules, seed=1)) as system:
            ref = system.spawn(Recorder, [])
            for number in range(100):
                ref.tell(number)
                ref.tell("text")
            await wait_all_tasks_blocked()
            assert system.faults is not None
            injected.append([event.occurrence for event in system.faults.injected if event.rule == 0])

    assert injected[0] == injected[1]
    assert 15 < len(injected[0]) < 45


def test_faults_meet_senders_on_other_threads(system_thread: SystemThread) -> None:
    notes: list[int] = []
    system = system_thread.system
    rules = FaultPlan((FaultRule(Seam.SEND, Drop(), nth=2), FaultRule(Seam.SEND, Duplicate(), nth=4)))
    system_thread.call(install_in, system, rules)
    ref = system.spawn(Recorder, notes)

    for number in range(5):
        ref.tell(number)
    ref.stop()

    assert notes == [0, 2, 3, 3, 4]


async def install_in(system: ActorSystem, plan: FaultPlan) -> None:
    install(system, plan)


async def test_a_system_without_a_plan_has_cells_that_nothing_guards(system: ActorSystem) -> None:
    cell = system.spawn(Echo).cell

    assert system.faults is None
    assert not cell.guarded
    assert cell.handlers is Echo.handlers_by_type


async def test_an_event_whose_sending_crashes_harms_neither_publisher_nor_system() -> None:
    notes: list[Any] = []
    plan = FaultPlan((FaultRule(Seam.SEND, Crash(), limit=1),))
    async with open_system(faults=plan) as system:
        system.events.subscribe(system.spawn(Recorder, notes), str)
        await trio.to_thread.run_sync(system.events.publish, "lost")
        await trio.to_thread.run_sync(system.events.publish, "event")
        await wait_all_tasks_blocked()

    assert notes == ["event"]


async def test_what_the_runtime_publishes_and_says_is_left_alone(clock: ManualClock) -> None:
    class Idle(Recorder):
        def on_start(self) -> None:
            self.set_idle_timeout(3)

    notes: list[Any] = []
    held = SchedulerHeld(None, None, "task", 1.0, "")
    rules = tuple(FaultRule(seam, Drop()) for seam in (Seam.SEND, Seam.DELIVER))
    async with open_system(faults=FaultPlan(rules)) as system:
        ref = system.spawn(Idle, notes)
        system.events.subscribe(ref, SchedulerHeld)
        system.events.publish(held)
        await clock.advance(4)

    assert notes == [held, IdleTimeout(3)]
    assert system.dead_letters == 0


async def test_an_actor_class_of_a_users_that_is_called_like_one_of_ours_is_concerned() -> None:
    mine = type("Supervisor", (Recorder,), {})
    notes: list[Any] = []
    async with open_system(faults=FaultPlan((FaultRule(Seam.DELIVER, Drop()),))) as system:
        system.spawn(mine, notes).tell("lost")
        await wait_all_tasks_blocked()

        assert notes == []
        assert system.dead_letters == 1


async def test_a_dropped_ask_is_kept_until_its_time_is_over(clock: ManualClock) -> None:
    plan = FaultPlan((FaultRule(Seam.SEND, Drop()),))
    async with open_system(faults=plan) as system:
        ref = system.spawn(Echo)
        reply = ref.ask("lost", block=False, timeout=2)
        kept = weakref.ref(reply)
        await clock.advance(1)
        assert not reply.done
        del reply
        gc.collect()
        assert kept() is not None

        await clock.advance(2)
        gc.collect()
        assert kept() is None


async def test_who_asked_an_actor_that_defers_and_forgets_is_answered_at_its_end() -> None:
    def forget(actor: Obedient) -> None:
        actor.defer()

    plan = FaultPlan((FaultRule(Seam.REPLY, Drop(), message="str"),))
    async with open_system(faults=plan) as system:
        ref = system.spawn(Obedient)
        reply = ref.ask(forget, block=False)
        await wait_all_tasks_blocked()
        gc.collect()
        assert not reply.done
        await ref.stop(block=False)

    with pytest.raises(pykka.ActorDeadError):
        await reply


async def test_each_of_many_messages_that_come_twice_comes_twice() -> None:
    notes: list[Any] = []
    plan = FaultPlan((FaultRule(Seam.DELIVER, Duplicate()),))
    async with open_system(faults=plan) as system:
        ref = system.spawn(Recorder, notes)
        for _ in range(3):
            ref.tell("same")
        ref.tell("other")
        await wait_all_tasks_blocked()

    assert Counter(notes) == {"same": 6, "other": 2}
