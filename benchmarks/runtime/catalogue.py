"""What is measured: every benchmark with its parameters, its unit, and the result that is right.

The parameters are those of the Savina suite (github.com/shamsimam/savina, `*Config.java`), but for two:
SleepingBarber gives 2,000 of its 5,000 haircuts, as customers who are turned away ask again at once, and
messages grow with the square; BndBuffer makes 25 of its 1,000 items a producer, as an item is 5,000
logarithms. The second BndBuffer makes all of them, at the suite's cost 0, which is one logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.runtime.peer import Outcome, Parameters, Peer, PeerFailedError, Request
from benchmarks.runtime.savina import INITIAL_BALANCE, process_item, transfers

Result = Sequence[int | float]


class Benchmark(msgspec.Struct, frozen=True):
    name: str
    workload: str
    unit: str
    parameters: dict[str, int]
    quick: dict[str, int]
    """What is smaller in a quick run."""
    expected: Callable[[Parameters, Result], Result]
    """The right result. It is given the one to check where more than one is right."""
    count: Callable[[Parameters, Result], int]
    """How many of the unit were handled."""
    repeat: int = 1
    """Runs in one process, where one is too short to tell by itself."""

    def parameters_for(self, peer: Peer, *, quick: bool) -> dict[str, int]:
        if quick:
            return self.parameters | self.quick
        return self.parameters | dict(peer.scaled.get(self.name, {}))

    def run(self, peer: Peer, *, quick: bool) -> list[Outcome]:
        """Run it once, in a process of its own.

        Raises:
            PeerFailedError: it did not end well, or not with the right result.
        """
        parameters = self.parameters_for(peer, quick=quick)
        outcomes = peer.run(Request(self.workload, parameters, 1 if quick else self.repeat))
        for outcome in outcomes:
            expected = self.expected(parameters, outcome.result)
            if not is_close(expected, outcome.result):
                raise PeerFailedError(
                    f"{peer.name}, {self.name}: the result is {outcome.result}, and should be {expected}"
                )
        return outcomes


def is_close(expected: Result, found: Result) -> bool:
    """Equal, but for the order in which floats were added."""
    return len(expected) == len(found) and all(
        one == other if isinstance(one, int) else math.isclose(one, other, rel_tol=1e-9)
        for one, other in zip(expected, found, strict=True)
    )


def _all_items(parameters: Parameters, _: Result) -> Result:
    """Item k of a producer is k times the work; a consumer adds what it gets, and the work again."""
    work = process_item(0.0, parameters["cost"])
    items, producers = parameters["items"], parameters["producers"]
    return items * producers, work * producers * (items * (items + 1) / 2 + items)


def _all_haircuts(parameters: Parameters, result: Result) -> Result:
    """Each customer got one; how often they had to ask depends on the order of turns."""
    return parameters["haircuts"], max(int(result[1]), parameters["haircuts"])


def _all_transfers(parameters: Parameters, _: Result) -> Result:
    accounts, transactions = parameters["accounts"], parameters["transactions"]
    balances = [INITIAL_BALANCE] * accounts
    for source, target, amount in transfers(accounts, transactions):
        balances[source] -= amount
        balances[target] += amount
    weighted = sum(number * balance for number, balance in enumerate(balances))
    return transactions, INITIAL_BALANCE * accounts, weighted


def _all_actors(parameters: Parameters, _: Result) -> Result:
    return (parameters["actors"],)


def _buffer_messages(parameters: Parameters, _: Result) -> int:
    per_item = 4  # produce, item, item, available
    per_producer = 2  # produce, exited
    per_consumer = 3  # available, stop, consumed
    return (
        per_item * parameters["items"] * parameters["producers"]
        + per_producer * parameters["producers"]
        + per_consumer * parameters["consumers"]
    )


def _barber_messages(parameters: Parameters, result: Result) -> int:
    haircuts, attempts = parameters["haircuts"], int(result[1])
    turned_away = attempts - haircuts
    # A haircut: enter, next or wait; enter, start, done, next, done. Turned away: enter, full, returned.
    # The few times that the barber was told to wait are not known.
    return 1 + 7 * haircuts + 3 * turned_away


def _per(name: str) -> Callable[[Parameters, Result], int]:
    return lambda parameters, _: parameters[name]


SPEED = (
    Benchmark(
        "PingPong",
        "pingpong",
        "messages",
        {"pings": 40_000},
        {"pings": 500},
        expected=lambda parameters, _: (parameters["pings"],),
        count=lambda parameters, _: 3 * parameters["pings"],  # each with one of the pinger to itself
        repeat=3,
    ),
    Benchmark(
        "Counting",
        "counting",
        "messages",
        {"messages": 1_000_000},
        {"messages": 2_000},
        expected=lambda parameters, _: (parameters["messages"],),
        count=_per("messages"),
    ),
    Benchmark(
        "FJCreate",
        "fjcreate",
        "actors",
        {"workers": 40_000},
        {"workers": 100},
        expected=lambda parameters, _: (parameters["workers"] * math.sin(37.2) ** 2,),
        count=_per("workers"),
    ),
    Benchmark(
        "ThreadRing",
        "threadring",
        "messages",
        {"actors": 100, "hops": 100_000},
        {"actors": 30, "hops": 1_000},
        expected=lambda parameters, _: (parameters["hops"] % parameters["actors"],),
        count=_per("hops"),
        repeat=3,
    ),
    Benchmark(
        "Big",
        "big",
        "messages",
        {"actors": 120, "pings": 20_000},
        {"actors": 20, "pings": 50},
        expected=lambda parameters, _: (parameters["actors"] * parameters["pings"],),
        count=lambda parameters, _: 2 * parameters["actors"] * parameters["pings"],
    ),
    Benchmark(
        "BndBuffer",
        "bndbuffer",
        "messages",
        {"buffer": 50, "producers": 40, "consumers": 40, "items": 25, "cost": 25},
        {"items": 1},
        expected=_all_items,
        count=_buffer_messages,
    ),
    Benchmark(
        "BndBuffer, no work",
        "bndbuffer",
        "messages",
        {"buffer": 50, "producers": 40, "consumers": 40, "items": 1_000, "cost": 0},
        {"items": 5},
        expected=_all_items,
        count=_buffer_messages,
    ),
    Benchmark(
        "SleepingBarber",
        "sleepingbarber",
        "messages",
        {"haircuts": 2_000, "capacity": 1_000, "production": 1_000, "haircut": 1_000},
        {"haircuts": 50, "capacity": 20, "production": 50, "haircut": 50},
        expected=_all_haircuts,
        count=_barber_messages,
    ),
    Benchmark(
        "Banking",
        "banking",
        "messages",
        {"accounts": 1_000, "transactions": 50_000},
        {"accounts": 50, "transactions": 500},
        expected=_all_transfers,
        count=lambda parameters, _: 4 * parameters["transactions"],  # what is stashed is not counted again
    ),
    Benchmark(
        "ask",
        "ask",
        "round trips",
        {"asks": 100_000},
        {"asks": 200},
        expected=lambda parameters, _: (parameters["asks"] * (parameters["asks"] + 1) // 2,),
        count=_per("asks"),
    ),
    Benchmark(
        "spawn",
        "spawn",
        "actors",
        {"actors": 100_000},
        {"actors": 100},
        expected=_all_actors,
        count=_per("actors"),
    ),
    *(
        Benchmark(
            f"{how} {size}",
            how,
            "actors",
            {"actors": actors},
            {"actors": quick},
            expected=_all_actors,
            count=_per("actors"),
        )
        for how in ("stop", "close")
        for size, actors, quick in (("10 k", 10_000, 20), ("100 k", 100_000, 200))
    ),
)

MEMORY = tuple(
    Benchmark(
        f"memory {size}",
        "memory",
        "bytes",
        {"actors": actors},
        {"actors": quick},
        expected=lambda parameters, result: (parameters["actors"], *result[1:]),
        count=_per("actors"),
    )
    for size, actors, quick in (("1 k", 1_000, 50), ("100 k", 100_000, 100), ("1 M", 1_000_000, 200))
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in (*SPEED, *MEMORY)}
