"""Erlang/OTP, a process per actor, on one scheduler: the workloads are in `erlang_peer.erl`."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.runtime.peer import Outcome, Parameters, PeerFailedError, Request, outcomes_of

_SOURCE = Path(__file__).with_name("erlang_peer.erl")
_RELEASE = 'io:format("~s ~s", [erlang:system_info(otp_release), erlang:system_info(version)]), halt().'
_MOST_PROCESSES = "4000000"


class Erlang:
    name = "erlang"
    scaled: Mapping[str, Parameters] = {}
    left_out: Mapping[str, str] = {}

    def missing(self) -> str | None:
        tools = [tool for tool in ("erl", "erlc") if shutil.which(tool) is None]
        return f"erlang: {' and '.join(tools)} not found (Debian: erlang-base)" if tools else None

    def version(self) -> str:
        command = ["erl", "-noshell", "-eval", _RELEASE]
        release, machine = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.split()
        return f"OTP {release}, erts {machine}"

    def run(self, request: Request) -> list[Outcome]:
        machine = [
            "erl",
            "+S",
            "1:1",
            "+P",
            _MOST_PROCESSES,
            "-noshell",
            "-noinput",
            "-pa",
            _compiled().name,
        ]
        parameters = [f"{name}={number}" for name, number in request.parameters.items()]
        call = ["-run", "erlang_peer", "main", request.workload, str(request.repeat), *parameters]
        return outcomes_of(machine + call)


@functools.cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """The folder with the compiled module; it goes when this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="greenroom-erlang-")
    command = ["erlc", "-o", folder.name, str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerFailedError(f"erlc: {done.stdout}{done.stderr}")
    return folder


PEER = Erlang()
