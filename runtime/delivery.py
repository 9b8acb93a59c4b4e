"""How each kind of mail reaches the handler of the message in it.

A told message stands in the mail as it is, and the scheduler calls its handler directly. Everything else is
an item with a type of its own, and that type's entry among the actor's handlers is one of these functions.
"""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

import pykka

from runtime import lifecycle
from runtime.cell import cell_of
from runtime.dispatch import DELIVERIES
from runtime.messages import ActorStop, Ask, Counted, DeathNotice, Terminated
from runtime.reply import answer
from runtime.timers import Tick

if TYPE_CHECKING:
    from runtime.actor import TrioActor

__all__: list[str] = []


def _deliver_ask(actor: TrioActor, item: Ask) -> Any:
    cell = cell_of(actor)
    message = item.message
    cell.asked = cast("pykka.Future[Any] | None", item.reply)
    try:
        result = cell.handlers[type(message)](actor, message)
    except BaseException as error:  # noqa: BLE001 - supervision edge: answers, and fails this one actor
        lifecycle.handler_failed(cell, error)
        return None
    if type(result) is CoroutineType:
        return cast("CoroutineType[Any, Any, Any]", result)
    if cell.asked is not None:  # else the handler has taken it over by defer() or forward()
        reply, cell.asked = cell.asked, None
        answer(reply, result)
    return None


def _deliver_counted(actor: TrioActor, item: Counted) -> Any:
    cell = cell_of(actor)
    bounds = cell.belongings.bounds
    assert bounds is not None
    bounds.free_place()
    cell.handling = item = item.item
    return cell.handlers[type(item)](actor, item)


def _deliver_stop(actor: TrioActor, _: ActorStop) -> None:
    lifecycle.stop(cell_of(actor))


def _deliver_death_notice(actor: TrioActor, notice: DeathNotice) -> Any:
    cell = cell_of(actor)
    if not cell.forget_watched(notice.ref):
        return None  # unwatched while the notice was under way
    cell.handling = terminated = Terminated(notice.ref, notice.reason)
    return cell.handlers[Terminated](actor, terminated)


def _deliver_tick(actor: TrioActor, tick: Tick) -> Any:
    if not tick.take():
        return None  # cancelled, or started anew, while it was under way
    cell = cell_of(actor)
    cell.handling = message = tick.message
    return cell.handlers[type(message)](actor, message)


DELIVERIES[Ask] = _deliver_ask
DELIVERIES[Counted] = _deliver_counted
DELIVERIES[ActorStop] = _deliver_stop
DELIVERIES[DeathNotice] = _deliver_death_notice
DELIVERIES[Tick] = _deliver_tick
