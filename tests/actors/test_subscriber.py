"""The bounded queue in front of one reader of events."""

from __future__ import annotations

import pytest

from actors.events import GlobalEvent, Lagged, SessionRegistered
from actors.session.protocol import EventPublished, EventsLost
from actors.subscription import SubscriberActor, TakeEvents, TakenEvents
from runtime import TrioActor, open_system
from tests.actors.simulated_session import START


def event(number: int) -> EventPublished:
    return EventPublished(GlobalEvent(seq=number, at=START, session_id="s", body=SessionRegistered()))


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ([event(1), event(2)], [1, 2]),
        ([event(1), event(2), event(3), event(4)], [1, 2, Lagged(2)]),
        ([event(1), EventsLost(Lagged()), event(2)], [1, Lagged(), Lagged(1)]),
        ([event(1), event(2), EventsLost(Lagged())], [1, 2, Lagged()]),
        ([event(1), event(2), event(3), EventsLost(Lagged()), event(4)], [1, 2, Lagged()]),
    ],
)
async def test_what_does_not_fit_is_said_to_be_missing_also_when_it_says_so_itself(
    told: list[EventPublished | EventsLost], taken: list[int | Lagged]
) -> None:
    async with open_system() as system:
        source = system.spawn(TrioActor)
        subscriber = system.spawn(SubscriberActor, limit=2, source=source)
        for message in told:
            subscriber.tell(message)
        answer: TakenEvents = await subscriber.ask(TakeEvents(), block=False)
    assert [item.seq if isinstance(item, GlobalEvent) else item for item in answer.items] == taken
