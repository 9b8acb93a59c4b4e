"""The actors of the Savina suite (Imam and Sarkar, AGERE 2014), once, for every peer that is Python.

An actor here is only its behaviour: `greenroom` and `pykka` mix it into their actor class, `trio` runs it
in a task. Who tells whom what is as in the suite's Akka versions; `erlang_peer.erl` says it in Erlang.

Left out is how the suite's actors end when the work is done: the peer ends them all. Where actors end as
part of the work (FJCreate's workers, the barber's customers), they do.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Ref(Protocol):
    def tell(self, message: Any, /) -> None: ...


class Behaviour:
    """What an actor does with a message. The peer's actor class adds the rest."""

    actor_ref: Ref
    stop: Callable[[], None]
    """End after this handler."""

    def on_receive(self, message: Any, /) -> Any:
        raise NotImplementedError


class Host(Protocol):
    """What a peer gives to a workload."""

    def spawn(self, behaviour: type[Behaviour], *args: Any) -> Ref: ...

    def finish(self, *result: float) -> None:
        """The work is done; called once, by an actor."""
        ...


# What messages are, or in a tuple its first field. Compared by identity, as Erlang compares atoms.
START = "start"
PING = "ping"
NEXT = "next"
WAIT = "wait"
FULL = "full"
DONE = "done"
STOP = "stop"
PRODUCE = "produce"
SEND_PING = "send_ping"
SEND_PONG = "send_pong"
ENTER = "enter"
RETURNED = "returned"
RETRIEVE = "retrieve"
RESULT = "result"
NEIGHBOURS = "neighbours"
ITEM = "item"
AVAILABLE = "available"
EXITED = "exited"
CONSUMED = "consumed"
CREDIT = "credit"
DEBIT = "debit"
REPLY = "reply"
BALANCE = "balance"


class PseudoRandom:
    """The suite's generator: the same numbers in every language."""

    def __init__(self, seed: int = 74755) -> None:
        self.value = seed

    def below(self, limit: int) -> int:
        self.value = (self.value * 1309 + 13849) & 65535
        return self.value % limit


# --- PingPong ---------------------------------------------------------------------------------------


class Pinger(Behaviour):
    def __init__(self, host: Host, pong: Ref, pings: int) -> None:
        super().__init__()
        self.host = host
        self.pong = pong
        self.left = pings

    def on_receive(self, message: Any) -> None:
        if message is PING or message is START:
            self.left -= 1
            self.pong.tell((SEND_PING, self.actor_ref))
        elif self.left:
            self.actor_ref.tell(PING)
        else:
            self.pong.tell((RETRIEVE, self.host.finish))


class Ponger(Behaviour):
    def __init__(self) -> None:
        super().__init__()
        self.pongs = 0

    def on_receive(self, message: Any) -> None:
        kind, sender = message
        if kind is SEND_PING:
            self.pongs += 1
            sender.tell((SEND_PONG, self.actor_ref))
        else:
            sender(self.pongs)


def pingpong(host: Host, pings: int) -> None:
    pong = host.spawn(Ponger)
    host.spawn(Pinger, host, pong, pings).tell(START)


# --- Counting ---------------------------------------------------------------------------------------


class Producer(Behaviour):
    def __init__(self, host: Host, counter: Ref, messages: int) -> None:
        super().__init__()
        self.host = host
        self.counter = counter
        self.messages = messages

    def on_receive(self, message: Any) -> None:
        if message is START:
            counter = self.counter
            for _ in range(self.messages):
                counter.tell(NEXT)
            counter.tell((RETRIEVE, self.actor_ref))
        else:
            _, count = message
            self.host.finish(count)


class Counter(Behaviour):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_receive(self, message: Any) -> None:
        if message is NEXT:
            self.count += 1
        else:
            _, sender = message
            sender.tell((RESULT, self.count))


def counting(host: Host, messages: int) -> None:
    counter = host.spawn(Counter)
    host.spawn(Producer, host, counter, messages).tell(START)


# --- FJCreate ---------------------------------------------------------------------------------------


class ForkJoinWorker(Behaviour):
    """Works, says so (the suite's does not: it waits for the end of the system), and ends."""

    def on_receive(self, message: Any) -> None:
        sine = math.sin(37.2)
        message.tell(sine * sine)
        self.stop()


class ForkJoinSink(Behaviour):
    def __init__(self, host: Host, workers: int) -> None:
        super().__init__()
        self.host = host
        self.left = workers
        self.total = 0.0

    def on_receive(self, message: Any) -> None:
        self.total += message
        self.left -= 1
        if not self.left:
            self.host.finish(self.total)


def fjcreate(host: Host, workers: int) -> None:
    sink = host.spawn(ForkJoinSink, host, workers)
    for _ in range(workers):
        host.spawn(ForkJoinWorker).tell(sink)


# --- ThreadRing -------------------------------------------------------------------------------------


class RingMember(Behaviour):
    def __init__(self, host: Host, number: int) -> None:
        super().__init__()
        self.host = host
        self.number = number
        self.following: Any = None

    def on_receive(self, message: Any) -> None:
        if self.following is None:
            self.following = message
        elif message:
            self.following.tell(message - 1)
        else:
            self.host.finish(self.number)


def threadring(host: Host, actors: int, hops: int) -> None:
    ring = [host.spawn(RingMember, host, number) for number in range(actors)]
    for number, member in enumerate(ring):
        member.tell(ring[(number + 1) % actors])
    ring[0].tell(hops)


# --- Big --------------------------------------------------------------------------------------------


class BigActor(Behaviour):
    def __init__(self, sink: Ref, number: int, pings: int) -> None:
        super().__init__()
        self.sink = sink
        self.number = number
        self.left = pings
        self.seed = number
        self.expected = -1
        self.answers = 0
        self.ping = (SEND_PING, number)
        self.pong = (SEND_PONG, number)
        self.neighbours: Any = None

    def on_receive(self, message: Any) -> None:
        kind, sender = message
        if kind is SEND_PING:
            self.neighbours[sender].tell(self.pong)
        elif kind is SEND_PONG:
            if sender == self.expected:
                self.answers += 1
            if self.left:
                self.left -= 1
                self.seed = (self.seed * 1309 + 13849) & 65535
                target = self.expected = self.seed % len(self.neighbours)
                self.neighbours[target].tell(self.ping)
            else:
                # The first pong, which starts the exchange, is expected from -1 and comes from there.
                self.sink.tell(self.answers - 1)
        else:
            self.neighbours = sender


class BigSink(Behaviour):
    def __init__(self, host: Host, actors: int) -> None:
        super().__init__()
        self.host = host
        self.left = actors
        self.answers = 0

    def on_receive(self, message: Any) -> None:
        self.answers += message
        self.left -= 1
        if not self.left:
            self.host.finish(self.answers)


def big(host: Host, actors: int, pings: int) -> None:
    sink = host.spawn(BigSink, host, actors)
    all_of_them = [host.spawn(BigActor, sink, number, pings) for number in range(actors)]
    for actor in all_of_them:
        actor.tell((NEIGHBOURS, all_of_them))
    for actor in all_of_them:
        actor.tell((SEND_PONG, -1))


# --- BndBuffer --------------------------------------------------------------------------------------


def process_item(term: float, cost: int) -> float:
    """The work on an item: `cost` times a hundred logarithms, the same ones every time."""
    value = cost
    for _ in range(100 * cost or 1):
        value = (value * 1309 + 13849) & 65535
        term += math.log(value / 65536 + 0.01)
    return term


class BufferManager(Behaviour):
    def __init__(self, host: Host, producers: int, consumers: int, buffer: int) -> None:
        super().__init__()
        self.host = host
        self.producing = producers
        self.consumers = consumers
        self.room = buffer - producers
        self.pending: deque[Any] = deque()
        self.available_consumers: deque[Ref] = deque()
        self.waiting_producers: deque[Ref] = deque()
        self.items = 0
        self.totals: list[float] = []

    def on_receive(self, message: Any) -> None:
        kind, value, sender = message
        if kind is ITEM:
            self.items += 1
            if self.available_consumers:
                self.available_consumers.popleft().tell(value)
            else:
                self.pending.append(value)
            if len(self.pending) >= self.room:
                self.waiting_producers.append(sender)
            else:
                sender.tell(PRODUCE)
        elif kind is AVAILABLE:
            if self.pending:
                sender.tell(self.pending.popleft())
                if self.waiting_producers:
                    self.waiting_producers.popleft().tell(PRODUCE)
            else:
                self.available_consumers.append(sender)
                self.end_if_all_is_done()
        elif kind is EXITED:
            self.producing -= 1
            self.end_if_all_is_done()
        else:
            self.totals.append(value)
            if len(self.totals) == self.consumers:
                self.host.finish(self.items, math.fsum(self.totals))

    def end_if_all_is_done(self) -> None:
        if not self.producing and len(self.available_consumers) == self.consumers:
            for consumer in self.available_consumers:
                consumer.tell(STOP)


class BufferProducer(Behaviour):
    def __init__(self, manager: Ref, items: int, cost: int) -> None:
        super().__init__()
        self.manager = manager
        self.left = items
        self.cost = cost
        self.item = 0.0

    def on_receive(self, _message: Any) -> None:
        if self.left:
            self.left -= 1
            self.item = process_item(self.item, self.cost)
            self.manager.tell((ITEM, self.item, self.actor_ref))
        else:
            self.manager.tell((EXITED, 0, self.actor_ref))


class BufferConsumer(Behaviour):
    def __init__(self, manager: Ref, cost: int) -> None:
        super().__init__()
        self.manager = manager
        self.cost = cost
        self.total = 0.0

    def on_receive(self, message: Any) -> None:
        if message is STOP:
            self.manager.tell((CONSUMED, self.total, self.actor_ref))
        else:
            self.total = process_item(self.total + message, self.cost)
            self.manager.tell((AVAILABLE, 0, self.actor_ref))


def bndbuffer(host: Host, buffer: int, producers: int, consumers: int, items: int, cost: int) -> None:
    manager = host.spawn(BufferManager, host, producers, consumers, buffer)
    for _ in range(consumers):
        manager.tell((AVAILABLE, 0, host.spawn(BufferConsumer, manager, cost)))
    for _ in range(producers):
        host.spawn(BufferProducer, manager, items, cost).tell(PRODUCE)


# --- SleepingBarber ---------------------------------------------------------------------------------


def busy_wait(random: PseudoRandom, limit: int) -> None:
    for _ in range(random.below(limit) + 10):
        random.below(limit)


class WaitingRoom(Behaviour):
    def __init__(self, barber: Ref, capacity: int) -> None:
        super().__init__()
        self.barber = barber
        self.capacity = capacity
        self.waiting: deque[Ref] = deque()
        self.barber_asleep = True

    def on_receive(self, message: Any) -> None:
        if message is NEXT:
            if self.waiting:
                self.barber.tell((ENTER, self.waiting.popleft(), self.actor_ref))
            else:
                self.barber.tell(WAIT)
                self.barber_asleep = True
        else:
            _, customer = message
            if len(self.waiting) == self.capacity:
                customer.tell(FULL)
                return
            self.waiting.append(customer)
            if self.barber_asleep:
                self.barber_asleep = False
                self.actor_ref.tell(NEXT)
            else:
                customer.tell(WAIT)


class Barber(Behaviour):
    def __init__(self, haircut: int) -> None:
        super().__init__()
        self.haircut = haircut
        self.random = PseudoRandom()

    def on_receive(self, message: Any) -> None:
        if message is not WAIT:
            _, customer, room = message
            customer.tell(START)
            busy_wait(self.random, self.haircut)
            customer.tell(DONE)
            room.tell(NEXT)


class Customer(Behaviour):
    def __init__(self, factory: Ref) -> None:
        super().__init__()
        self.factory = factory

    def on_receive(self, message: Any) -> None:
        if message is FULL:
            self.factory.tell((RETURNED, self.actor_ref))
        elif message is DONE:
            self.factory.tell(DONE)
            self.stop()


class CustomerFactory(Behaviour):
    def __init__(self, host: Host, room: Ref, haircuts: int, production: int) -> None:
        super().__init__()
        self.host = host
        self.room = room
        self.haircuts = haircuts
        self.production = production
        self.random = PseudoRandom()
        self.attempts = 0
        self.done = 0

    def on_receive(self, message: Any) -> None:
        if message is START:
            for _ in range(self.haircuts):
                self.send_to_room(self.host.spawn(Customer, self.actor_ref))
                busy_wait(self.random, self.production)
        elif message is DONE:
            self.done += 1
            if self.done == self.haircuts:
                self.host.finish(self.done, self.attempts)
        else:
            _, customer = message
            self.send_to_room(customer)

    def send_to_room(self, customer: Ref) -> None:
        self.attempts += 1
        self.room.tell((ENTER, customer))


def sleepingbarber(host: Host, haircuts: int, capacity: int, production: int, haircut: int) -> None:
    barber = host.spawn(Barber, haircut)
    room = host.spawn(WaitingRoom, barber, capacity)
    host.spawn(CustomerFactory, host, room, haircuts, production).tell(START)


# --- Banking ----------------------------------------------------------------------------------------


def transfers(accounts: int, transactions: int) -> list[tuple[int, int, int]]:
    """From, to, how much. The source is always the lower one, so that no two wait for each other."""
    random = PseudoRandom(123456)
    made: list[tuple[int, int, int]] = []
    for _ in range(transactions):
        source = random.below(accounts // 10 * 8)
        target = source + (random.below(accounts - source) or 1)
        made.append((source, target, random.below(1000)))
    return made


class Teller(Behaviour):
    def __init__(self, host: Host, accounts: Sequence[Ref], transactions: int) -> None:
        super().__init__()
        self.host = host
        self.accounts = accounts
        self.transactions = transactions
        self.completed = 0
        self.balances: list[int] = []
        self.weighted = 0

    def on_receive(self, message: Any) -> None:
        if message is REPLY:
            self.completed += 1
            if self.completed == self.transactions:
                for account in self.accounts:
                    account.tell(STOP)
        elif message is START:
            for source, target, amount in transfers(len(self.accounts), self.transactions):
                self.accounts[source].tell((CREDIT, amount, self.actor_ref, self.accounts[target]))
        else:
            _, number, balance = message
            self.balances.append(balance)
            self.weighted += number * balance
            if len(self.balances) == len(self.accounts):
                self.host.finish(self.completed, sum(self.balances), self.weighted)


class Account(Behaviour):
    """Takes from its own balance, and serves nobody else until the other account has confirmed."""

    def __init__(self, number: int, teller: list[Ref], balance: int) -> None:
        super().__init__()
        self.number = number
        self.teller = teller
        self.balance = balance
        self.awaiting_reply = False
        self.stash: deque[Any] = deque()

    def on_receive(self, message: Any) -> None:
        if self.awaiting_reply:
            if message is not REPLY:
                self.stash.append(message)
                return
            self.awaiting_reply = False
            self.teller[0].tell(REPLY)
        elif message is STOP:
            self.teller[0].tell((BALANCE, self.number, self.balance))
        elif message[0] is DEBIT:
            _, amount, creditor = message
            self.balance += amount
            creditor.tell(REPLY)
        else:
            _, amount, _, recipient = message
            self.balance -= amount
            recipient.tell((DEBIT, amount, self.actor_ref))
            self.awaiting_reply = True
            return
        if self.stash:
            self.actor_ref.tell(self.stash.popleft())


INITIAL_BALANCE = 1_000_000


def banking(host: Host, accounts: int, transactions: int) -> None:
    teller: list[Ref] = []
    refs = [host.spawn(Account, number, teller, INITIAL_BALANCE) for number in range(accounts)]
    teller.append(host.spawn(Teller, host, refs, transactions))
    teller[0].tell(START)


WORKLOADS: dict[str, Callable[..., None]] = {
    "pingpong": pingpong,
    "counting": counting,
    "fjcreate": fjcreate,
    "threadring": threadring,
    "big": big,
    "bndbuffer": bndbuffer,
    "sleepingbarber": sleepingbarber,
    "banking": banking,
}


# --- beyond the suite -------------------------------------------------------------------------------


class Idle(Behaviour):
    """Owns nothing. Answers a message, which is the ref of a `Sink`, with one to it."""

    def on_receive(self, message: Any) -> None:
        message.tell(NEXT)


class Sink(Behaviour):
    def __init__(self, host: Host, expected: int) -> None:
        super().__init__()
        self.host = host
        self.expected = expected
        self.count = 0

    def on_receive(self, _message: Any) -> None:
        self.count += 1
        if self.count == self.expected:
            self.host.finish(self.count)


class Adder(Behaviour):
    """Answers an `ask`."""

    def on_receive(self, message: Any) -> int:
        return message + 1
