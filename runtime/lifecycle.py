"""How an actor starts, fails, ends and starts again. For the scheduler's thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, cast

import pykka

from runtime.cell import NO_BELONGINGS, is_no_loss, reincarnate
from runtime.errors import ActorKilledError
from runtime.events import ActorFailed
from runtime.life import NOT_WORKING, Life
from runtime.messages import (
    Ask,
    ChildActorGone,
    ChildEnded,
    ChildStarted,
    Failed,
    Halt,
    Kill,
    TasksGone,
)
from runtime.reply import answer, answer_dead, answer_error
from runtime.reporting import report

if TYPE_CHECKING:
    from runtime.actor import TrioActor
    from runtime.cell import Belongings, Cell
    from runtime.ref import ActorRef
    from runtime.workers import Done

__all__ = [
    "announce_start",
    "attend",
    "end_child",
    "fail",
    "finish",
    "give_up",
    "handled",
    "handler_failed",
    "report_defect",
    "revive",
    "stop",
]

# pykka's contract: failures are reported by this logger, in these words.
_log = logging.getLogger("pykka")
_defects = logging.getLogger("greenroom.runtime")

# The real one, whatever a subclass calls by that name.
_traceback_of = BaseException.__dict__["__traceback__"].__get__

# One that may still fail or be stopped.
_LIVELY = frozenset({Life.STARTING, Life.RUNNING})


def attend(cell: Cell) -> None:
    """Do what comes before any mail: start the actor, handle its control lane."""
    if cell.life is Life.NEW:
        if cell.control and cell.is_condemned:
            cell.enter(Life.STARTING)  # and gets no further
        else:
            _begin(cell)
    while cell.control and not cell.busy:
        _handle_control(cell)


def _begin(cell: Cell) -> None:
    if cell.actor is not None and not cell.actor_class.has_start_hook:
        _run(cell)
        return
    cell.enter(Life.STARTING)
    if cell.actor is None:
        try:
            reincarnate(cell)
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            fail(cell, error, hook=False)
            return
    _run_hook(cell, _actor_of(cell).on_start, _started)


def _started(cell: Cell, _: Any, error: BaseException | None) -> None:
    if error is not None:
        fail(cell, error, hook=False)
    else:
        _run(cell)


def _run(cell: Cell) -> None:
    """From now on it takes its mail."""
    cell.enter(Life.RUNNING)
    assert cell.scheduler is not None
    if cell.scheduler.observation is not None:
        cell.scheduler.observation.started(cell)
    if not cell.actor_class.starts_in_messages:
        announce_start(cell)


def announce_start(cell: Cell) -> None:
    """Tell the supervisor, if there is one, that its child has started."""
    if cell.belongings.supervised:
        _tell_supervisor(cell, ChildStarted)


def _handle_control(cell: Cell) -> None:
    assert cell.control is not None
    match cell.control.popleft():
        case Kill():
            _kill(cell)
        case Halt(reply):
            if reply is not None:
                _answer_at_end(cell, reply)
            _end(cell, None)
        case Failed(error):
            fail(cell, error)
        case TasksGone() | ChildActorGone():
            if cell.life is Life.ENDING:
                _go_on_ending(cell)


# --- handlers ---------------------------------------------------------------------------------------


def handled(cell: Cell, result: Any, error: BaseException | None) -> None:
    """An async handler has ended."""
    if error is not None:
        handler_failed(cell, error)
    elif cell.asked is not None:
        reply, cell.asked = cell.asked, None
        answer(reply, result)
    cell.handling = None


def handler_failed(cell: Cell, error: BaseException) -> None:
    """Answer the asker, and fail the actor where the error is not just an answer."""
    reply, cell.asked = cell.asked, None
    if reply is not None:
        # By type: an error that lies about its class is still caught by what it is.
        if not issubclass(type(error), Exception):
            # SystemExit and the like are not passed on: raised in the asker they would end it as well.
            answer_dead(reply, f"{cell} failed while handling the message", error)
        else:
            expected = cell.actor_class.expected_errors
            only_answer = expected is None or issubclass(type(error), expected)
            if only_answer:
                _report(logging.INFO, "Exception returned from %s to caller:", cell, error)
            answer_error(reply, error, _traceback_of(error))
            if only_answer:
                return
    _bury_handled(cell, "its handler failed")
    fail(cell, error)


def _bury_handled(cell: Cell, reason: str) -> None:
    """What a handler was told and has not brought to an end is a dead letter; an ask is answered."""
    item, cell.handling = cell.handling, None
    if item is not None and type(item) is not Ask and not is_no_loss(item):
        assert cell.system is not None
        cell.system.bury(cell.ref, item, reason)


# --- the end of an incarnation ----------------------------------------------------------------------


def stop(cell: Cell) -> None:
    """`ActorStop` has had its turn in the mail."""
    if cell.asked is not None:
        _answer_at_end(cell, cell.asked)
        cell.asked = None
    _end(cell, None)


def _answer_at_end(cell: Cell, reply: pykka.Future[Any]) -> None:
    """Settle the reply when the incarnation is over."""
    if cell.life is Life.HALTED:
        answer(reply, None)
        return
    belongings = cell.own()
    if belongings.stop_replies is None:
        belongings.stop_replies = []
    belongings.stop_replies.append(reply)


def fail(cell: Cell, error: BaseException, *, hook: bool = True) -> None:
    """End the actor because of `error`, unless it is ending already or is about to be killed."""
    _report(logging.ERROR, "Unhandled exception in %s:", cell, error)
    if cell.life in _LIVELY and not cell.is_condemned:
        cell.own().hook_on_end = hook
        system = cell.system
        assert system is not None
        system.scheduler.failures += 1
        if cell.ref is not None and system.events.is_wanted(ActorFailed):
            system.events.publish(ActorFailed(cell.ref, error))
        _end(cell, error)


def _kill(cell: Cell) -> None:
    belongings = cell.own()
    if belongings.killed or cell.life is Life.HALTED:
        return
    belongings.killed = True
    belongings.hook_on_end = False
    if belongings.reason is None:
        belongings.reason = ActorKilledError(f"{cell} was killed")
    if cell.life is not Life.ENDING:
        _end(cell, belongings.reason)
        return
    for child in belongings.child_actors or ():
        child.deliver_control(Kill())
    _go_on_ending(cell)  # from wherever it hung: in its last hook, most likely


def _end(cell: Cell, reason: BaseException | None) -> None:
    if cell.life not in _LIVELY:
        return
    if reason is not None:
        cell.own().reason = reason
    cell.enter(Life.ENDING)
    belongings = cell.belongings
    if not belongings.supervised:
        cell.close()
    if belongings is not NO_BELONGINGS:
        _stop_clocks(cell)
        for task in tuple(belongings.tasks or ()):
            task.cancel()
    _go_on_ending(cell)


def _stop_clocks(cell: Cell) -> None:
    belongings = cell.belongings
    if belongings.timers is not None:
        belongings.timers.cancel_all()
    if belongings.idle_watch is not None:
        belongings.idle_watch.cancel()
        cell.stop_intercepting(belongings.idle_watch)


def _go_on_ending(cell: Cell) -> None:
    """The tasks end first, then the child actors, youngest first; then comes the last hook."""
    belongings = cell.belongings
    if belongings.tasks:
        return  # TasksGone follows
    if belongings.child_actors:
        # A dead one leaves the family before its ChildActorGone arrives.
        child = _youngest(belongings)
        if child.life is Life.HALTED:
            finish(child)
        else:
            end_child(child, kill=belongings.killed)
        return  # ChildActorGone follows
    if not belongings.hook_on_end:
        _ended(cell, None, None)
        return
    actor = _actor_of(cell)
    reason = belongings.reason
    if reason is None:
        _run_hook(cell, actor.on_stop, _ended)
    else:
        _run_hook(cell, lambda: actor.on_failure(*_exc_info(reason)), _ended)


def _youngest(belongings: Belongings) -> Cell:
    """The child actor that ends next. There is one, and no new one comes any more.

    By a list made once: to find the last key of a dict takes as long as there are keys that were deleted
    behind it.
    """
    if belongings.to_end is None:
        belongings.to_end = list(belongings.child_actors or ())
    while belongings.to_end[-1].life is Life.DEAD:
        belongings.to_end.pop()
    return belongings.to_end[-1]


def end_child(child: Cell, *, kill: bool = False) -> None:
    """Have a child actor end; kill it when its time is over."""
    belongings = child.own()
    if kill or belongings.shutdown_seconds == 0:
        child.deliver_control(Kill())
    elif belongings.alarm is None:
        child.deliver_control(Halt(None))
        if belongings.shutdown_seconds is not None:
            assert child.scheduler is not None
            belongings.alarm = child.scheduler.alarms.set(
                belongings.shutdown_seconds, lambda: child.deliver_control(Kill())
            )


def _ended(cell: Cell, _: Any, error: BaseException | None) -> None:
    """The incarnation is over: its supervisor decides what follows, or it is the actor's death."""
    belongings = cell.belongings
    if error is not None:
        _report(logging.ERROR, "Unhandled exception in %s:", cell, error)
        if belongings.reason is None:
            belongings.reason = error
    supervisor = belongings.parent
    if not belongings.supervised or supervisor is None or supervisor.life in NOT_WORKING:
        finish(cell)
        return
    cell.enter(Life.HALTED)
    _stop_clocks(cell)  # those that the last hook has started
    for reply in _settle_incarnation(cell):
        answer(reply, None)
    cell.actor = None
    _tell_supervisor(cell, lambda ref: ChildEnded(ref, belongings.reason))


def _settle_incarnation(cell: Cell) -> list[Any]:
    """Let go what belonged to the incarnation; return the replies that wait for its end."""
    belongings = cell.belongings
    if belongings.alarm is not None:
        belongings.alarm.cancel()
    waiting = [*(belongings.deferred or ()), *(belongings.deferred_elsewhere or ())]
    if cell.asked is not None:  # cut off in the middle of an async handler
        waiting.append(cell.asked)
    for reply in waiting:
        answer_dead(reply, f"{cell} stopped before it answered", belongings.reason)
    _bury_handled(cell, "the actor was killed")
    stop_replies = belongings.stop_replies or []
    cell.asked = None
    if belongings is not NO_BELONGINGS:
        belongings.alarm = belongings.job = belongings.stop_replies = None
        belongings.deferred = belongings.deferred_elsewhere = None
    return stop_replies


def revive(cell: Cell) -> None:
    """Give a halted actor a new incarnation, in a new context, with the mail that waits for it."""
    assert cell.system is not None
    cell.system.scheduler.restarts += 1
    while cell.control:  # it was for the last incarnation
        _handle_control(cell)
    cell.enter(Life.NEW)
    cell.belongings.begin_incarnation()
    cell.context = cell.system.new_context()
    cell.schedule()


def finish(cell: Cell) -> None:
    """The actor is dead: settle everybody who waits for it, and let its state go. Idempotent."""
    if cell.life is Life.DEAD:
        return
    system = cell.system
    assert system is not None
    belongings = cell.belongings
    if belongings is NO_BELONGINGS:
        cell.enter(Life.DEAD)
        cell.guarded = True
        system.release(cell)
        if cell.asked is not None:  # cut off in the middle of a handler
            _settle_incarnation(cell)
        cell.drain()
        _refuse_control(cell)
        cell.actor = None
        return
    if belongings.child_actors:  # only when the system is cut off
        for descendant in _descendants(cell):
            finish(descendant)
    cell.enter(Life.DEAD)
    cell.close()
    system.release(cell)
    job = belongings.job
    _stop_clocks(cell)
    stop_replies = _settle_incarnation(cell)
    cell.drain()
    _refuse_control(cell)
    system.forget(cell)
    for reply in stop_replies:
        answer(reply, None)
    if job is not None:
        job.cancel()
    cell.actor = belongings.factory = None
    parent = belongings.parent
    if parent is not None and parent.life is Life.ENDING:
        parent.deliver_control(ChildActorGone())


def give_up(cell: Cell, error: BaseException) -> None:
    """The runtime has failed in keeping this actor's books: it is dead, and nobody else suffers for it."""
    report_defect(cell, error)
    try:
        if cell.belongings.reason is None:
            cell.own().reason = error
        finish(cell)
    except BaseException as another:  # noqa: BLE001 - as above
        report_defect(cell, another)
        cell.life, cell.takes_mail, cell.guarded = Life.DEAD, False, True
        cell.mail = cell.control = cell.actor = None


def report_defect(of: object, error: BaseException) -> None:
    """Log a failure of the runtime itself. Never raises."""
    report(_defects.critical, "the runtime failed in dealing with %s", of, exc_info=_exc_info(error))


def _descendants(cell: Cell) -> list[Cell]:
    """All below it, each before its parent, the youngest first. Families may be deeper than the stack."""
    found: list[Cell] = []
    below = [cell]
    while below:
        parent = below.pop()
        found.append(parent)
        below.extend(reversed(tuple(parent.belongings.child_actors or ())))
    return found[:0:-1]


def _refuse_control(cell: Cell) -> None:
    while cell.control:
        cell.deliver_control(cell.control.popleft())  # answers, now that it is dead
    cell.control = None


# --- hooks ------------------------------------------------------------------------------------------


def _run_hook(cell: Cell, hook: Callable[[], Any], done: Done) -> None:
    """Call a life-cycle hook, or make the cell busy with it if it is async."""
    try:
        result = hook()
    except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
        done(cell, None, error)
        return
    if type(result) is CoroutineType:
        assert cell.scheduler is not None
        cell.scheduler.workers.run(cell, cast("CoroutineType[Any, Any, Any]", result), done)
    else:
        done(cell, result, None)


def _tell_supervisor(cell: Cell, notice: Callable[[ActorRef[Any]], Any]) -> None:
    supervisor = cell.belongings.parent
    assert supervisor is not None
    assert cell.ref is not None
    supervisor.post(notice(cell.ref))


def _actor_of(cell: Cell) -> TrioActor:
    actor = cell.actor
    assert actor is not None, "a dead actor was scheduled"
    return actor


def _exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return type(error), error, _traceback_of(error)


def _report(level: int, text: str, cell: Cell, error: BaseException) -> None:
    report(_log.log, level, text, cell, exc_info=_exc_info(error))
