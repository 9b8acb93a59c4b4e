"""What does it cost to find a model by its name, beside a look-up in a dict?

The registry of an engine with its known providers and 100 connections more, with two aliases each:

- `dict`: `models[name]` in a dict of the same names, which is what a look-up costs at least;
- `known`: `ProviderRegistry.language_model` of a name that was asked for before, as in every turn;
- `alias`: the same, of an alias;
- `config`: the same, of a `ModelConfig` with settings of its own;
- `connection`: `connection_of`, which the governors ask, and which remembers nothing;
- `first`: a name that was never asked for: the model is made, its URL and headers checked;
- `build`: the whole registry is built anew, as after each change of a connection; per connection.

Ways take turns, so that whatever else the machine does meets all alike; a row is the median of its rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import msgspec
import trio

from actors.connections import Connection, ModelAlias
from actors.model_settings import ModelSettings
from actors.models import HttpPool, ModelConfig, ProviderRegistry, build_provider_registry
from actors.settings import EngineSettings
from benchmarks.setting import Setting, options_of, pin_to_client_core, setting, show_setting

BIAS = (
    "for dict: nothing is taken apart, checked or counted",
    "for known, alias and config: everything is in the cache of the processor",
    "for build: no key is looked for, and there are no lists of models",
)
CONNECTIONS = 100


class Sizes(msgspec.Struct, frozen=True):
    """Look-ups a round, first look-ups and builds a round, and rounds."""

    lookups: int
    firsts: int
    builds: int
    rounds: int


FULL = Sizes(lookups=100_000, firsts=2_000, builds=5, rounds=9)
QUICK = Sizes(lookups=1_000, firsts=50, builds=1, rounds=2)


class Row(msgspec.Struct, frozen=True):
    """The time of one look-up, and how often a dict finds a name in that time."""

    way: str
    nanoseconds: float
    ratio: float


class Report(Setting, frozen=True, kw_only=True):
    connections: int
    rows: list[Row]


def _connections() -> dict[str, Connection]:
    aliases = {
        name: ModelAlias(model=f"{name}-model", settings=ModelSettings(temperature=0.1))
        for name in ("fast", "writing")
    }
    return {
        name: Connection(connection_id=name, base_url=f"http://127.0.0.1:9/{name}", aliases=aliases)
        for name in (f"connection-{number}" for number in range(CONNECTIONS))
    }


def _timed(find: Callable[[], object], times: int) -> float:
    """Seconds for one."""
    begun = time.perf_counter()
    for _ in range(times):
        find()
    return (time.perf_counter() - begun) / times


async def measure(sizes: Sizes) -> dict[str, list[float]]:
    """The seconds of one look-up, by way, one a round."""
    settings = EngineSettings().providers(_connections())
    seconds: dict[str, list[float]] = {}

    def note(way: str, value: float) -> None:
        seconds.setdefault(way, []).append(value)

    async with HttpPool() as http:
        registry = await build_provider_registry(settings, http)
        spec, alias = "connection-50:some/model:8b", "connection-50:fast"
        config = ModelConfig(
            provider="connection-50", model_id="m", settings=ModelSettings(temperature=0.5)
        )
        models = {spec: registry.language_model(spec)}
        for number in range(sizes.rounds):
            note("dict", _timed(lambda: models[spec], sizes.lookups))
            note("known", _timed(lambda: registry.language_model(spec), sizes.lookups))
            note("alias", _timed(lambda: registry.language_model(alias), sizes.lookups))
            note("config", _timed(lambda: registry.language_model(config), sizes.lookups))
            note("connection", _timed(lambda: registry.connection_of(spec), sizes.lookups))
            names = (f"connection-50:model-{number}-{first}" for first in range(sizes.firsts))
            note("first", _timed(partial(_first, registry, names), sizes.firsts))
            begun = time.perf_counter()
            for _ in range(sizes.builds):
                await build_provider_registry(settings, http)
            built = sizes.builds * len(settings.connections)
            note("build", (time.perf_counter() - begun) / built)
    return seconds


def _first(registry: ProviderRegistry, names: Iterator[str]) -> object:
    return registry.language_model(next(names))


def main() -> None:
    options = options_of(__doc__, quick="few look-ups, to see that it works").parse_args()
    where = setting(__doc__, BIAS)
    pin_to_client_core()
    measured = trio.run(measure, QUICK if options.quick else FULL)
    middle = {way: median(values) for way, values in measured.items()}
    report = Report(
        **msgspec.structs.asdict(where),
        connections=CONNECTIONS,
        rows=[Row(way, value * 1e9, value / middle["dict"]) for way, value in middle.items()],
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
        return
    show_setting(where)
    print(f"\n{'way':<12}{'ns':>12}{'/ dict':>10}")
    for row in report.rows:
        print(f"{row.way:<12}{row.nanoseconds:>12.0f}{row.ratio:>10.1f}")


if __name__ == "__main__":
    main()
