"""A peer: something that can run the workloads. Each is one file in `peers`, its instance named `PEER`."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import msgspec

CHECKOUT = Path(__file__).parents[2]
LIMIT_SECONDS = 300.0
"""How long one run may take. What takes longer hangs."""

Parameters = Mapping[str, int]


class Request(msgspec.Struct, frozen=True):
    """What a peer is to run, and how many times, one after the other, in one process of its own."""

    workload: str
    parameters: dict[str, int]
    repeat: int = 1


class Outcome(msgspec.Struct, frozen=True):
    """How long one run took, and what came of it: `catalogue` knows what is right."""

    seconds: float
    result: list[int | float]


class PeerFailedError(Exception):
    """A peer's process ended badly, or took too long."""


class Peer(Protocol):
    """What the comparison asks of a peer."""

    @property
    def name(self) -> str: ...

    @property
    def scaled(self) -> Mapping[str, Parameters]:
        """By benchmark: the parameters that are smaller here, as the full size is not sensible."""
        ...

    @property
    def left_out(self) -> Mapping[str, str]:
        """By benchmark: why it is not run here."""
        ...

    def missing(self) -> str | None:
        """One line on what is not installed, or None: it can run."""
        ...

    def version(self) -> str: ...

    def run(self, request: Request) -> list[Outcome]:
        """Run it in a process of its own, which inherits the cores this one may use.

        Raises:
            PeerFailedError: it did not end well.
        """
        ...


class PythonPeer(msgspec.Struct, frozen=True):
    """A peer that is Python: its module, run as a program, calls `serve`."""

    name: str
    module: str
    needs: str
    """The package that it imports."""
    distribution: str
    scaled: Mapping[str, Parameters] = {}
    left_out: Mapping[str, str] = {}

    def missing(self) -> str | None:
        return None if find_spec(self.needs) else f"{self.name}: the package {self.needs} is not installed"

    def version(self) -> str:
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return "of this checkout"

    def run(self, request: Request) -> list[Outcome]:
        encoded = msgspec.json.encode(request).decode()
        return outcomes_of([sys.executable, "-m", self.module, encoded])


def outcomes_of(command: list[str]) -> list[Outcome]:
    """What a peer's process printed.

    Raises:
        PeerFailedError: it did not end well, or printed something else.
    """
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=LIMIT_SECONDS, check=True)
        return msgspec.json.decode(done.stdout, type=list[Outcome])
    except subprocess.CalledProcessError as error:
        raise PeerFailedError(f"{command}\n{error.stderr.decode(errors='replace')}") from error
    except (subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        raise PeerFailedError(f"{command}\n{error}") from error


def serve(run: Callable[[Request], Outcome]) -> None:
    """The main program of a Python peer: runs the request of the command line, prints the outcomes."""
    request = msgspec.json.decode(sys.argv[1], type=Request)
    print(msgspec.json.encode([run(request) for _ in range(request.repeat)]).decode())


def find_peers() -> dict[str, Peer]:
    """Every peer that there is a file for, ours first.

    A file whose tool may be missing imports it only to run: `missing` is asked here, on any machine.
    """
    folder = Path(__file__).with_name("peers")
    modules = [
        importlib.import_module(f"benchmarks.runtime.peers.{module.name}")
        for module in pkgutil.iter_modules([str(folder)])
    ]
    peers: list[Peer] = sorted(
        (module.PEER for module in modules), key=lambda peer: (peer.name != OURS, peer.name)
    )
    return {peer.name: peer for peer in peers}


OURS = "greenroom"


def freeze_gc() -> None:
    """Collect now and no more: a collection walks every actor that there is, however idle."""
    gc.collect()
    gc.freeze()
    gc.disable()


def thaw_gc() -> None:
    gc.enable()
    gc.unfreeze()


def rss_bytes() -> int:
    """The resident set of this process, after a collection."""
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * resource.getpagesize()
