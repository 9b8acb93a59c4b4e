"""`greenroom run` as a process, while the endpoint that it asks is served by the test itself."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.conversation import Message, MessageState, Role, Text
from actors.records import RunRecord, StoredSession
from actors.stores import SqliteStore
from actors.tree import ConversationTree
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment

__all__ = [
    "QUICK",
    "Finished",
    "RunningProgram",
    "branch",
    "completed_once",
    "contents",
    "endpoint",
    "json_lines",
    "latest_run",
    "run",
    "running",
    "stored_sessions",
    "write_records",
]

ONE_ATTEMPT = ("--attempts", "1")

QUICK = UpstreamSettings(ttft_seconds=0, tokens_per_second=0, tokens=(5, 30))


class Finished(msgspec.Struct, frozen=True):
    status: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """What `--json` printed, which must be all of it."""
        (line,) = self.out.splitlines()
        return json.loads(line)


async def run(
    *arguments: str | Path,
    cwd: Path,
    typed: bytes = b"",
    env: Mapping[str, str] | None = None,
    limits: Mapping[int, int] | None = None,
) -> Finished:
    """Run `greenroom run` to its end; `limits` are hard limits on resources that it is born with.

    A call that fails is not tried again, unless the arguments say how often.
    """

    def set_limits() -> None:
        for resource_number, limit in (limits or {}).items():
            resource.setrlimit(resource_number, (limit, limit))

    with trio.fail_after(LIMIT_SECONDS):
        finished = await trio.run_process(
            [*COMMAND, "run", *ONE_ATTEMPT, *map(str, arguments)],
            stdin=typed,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=cwd,
            env=environment() if env is None else env,
            preexec_fn=set_limits if limits else None,
        )
    return Finished(finished.returncode, finished.stdout.decode(), finished.stderr.decode())


class RunningProgram:
    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._errors = bytearray()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def error_line(self) -> str:
        """Wait for the next line on standard error, and take it."""
        assert self._process.stderr is not None
        while b"\n" not in self._errors:
            more = await self._process.stderr.receive_some()
            assert more, "it ended without a line"
            self._errors += more
        line, _, rest = bytes(self._errors).partition(b"\n")
        self._errors[:] = rest
        return line.decode()

    async def end(self) -> Finished:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        """Wait for its end. What was taken line by line is not in the result."""
        out, err = bytearray(), self._errors
        async with trio.open_nursery() as nursery:  # a full pipe would hold the program up
            nursery.start_soon(_collect, self._process.stdout, out)
            nursery.start_soon(_collect, self._process.stderr, err)
        return Finished(await self._process.wait(), out.decode(), err.decode())


async def _collect(pipe: trio.abc.ReceiveStream, into: bytearray) -> None:
    async for data in pipe:
        into += data


@asynccontextmanager
async def running(*arguments: str | Path, cwd: Path) -> AsyncGenerator[RunningProgram]:
    """`greenroom run` for the length of the block, which has to end it in time."""
    process = await trio.lowlevel.open_process(
        [*COMMAND, "run", *ONE_ATTEMPT, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(),
        start_new_session=True,
    )
    try:
        with trio.fail_after(LIMIT_SECONDS):
            yield RunningProgram(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                await pipe.aclose()


class Served:
    """An endpoint in this process."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.base_url = upstream.base_url

    @property
    def requests(self) -> int:
        return self.upstream.statistics().requests

    async def has(self, condition: Callable[[Any], bool]) -> None:
        """Watch the statistics until they are so."""
        with trio.fail_after(LIMIT_SECONDS):
            while not condition(self.upstream.statistics()):  # noqa: ASYNC110 - there is no event to wait for
                await trio.sleep(0.005)


@asynccontextmanager
async def endpoint(settings: UpstreamSettings = QUICK) -> AsyncGenerator[Served]:
    """Serve an endpoint for the length of the block."""
    upstream = Upstream(settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(upstream.serve)
        try:
            yield Served(upstream)
        finally:
            nursery.cancel_scope.cancel()


# --- files ------------------------------------------------------------------------------------------


def write_records(path: Path, records: Sequence[Sequence[str]]) -> Path:
    lines = [json.dumps({"turns": list(turns)}) for turns in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, to see that nothing was touched."""
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()}


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def latest_run(path: Path) -> RunRecord:
    store = SqliteStore.open(path, read_only=True)
    try:
        found = store.latest_run()
    finally:
        store.close()
    assert found is not None
    return found


def stored_sessions(path: Path) -> dict[str, StoredSession]:
    """Every session of the store, by id."""
    store = SqliteStore.open(path, read_only=True)
    try:
        return {summary.session_id: store.read(summary.session_id) for summary in store.list_sessions()}
    finally:
        store.close()


def branch(stored: StoredSession) -> tuple[Message, ...]:
    return ConversationTree(stored.messages).branch(stored.record.active_leaf_id)


def completed_once(path: Path, records: Sequence[Sequence[str]]) -> bool:
    """Whether the last run asked each question of each record once, and has one whole answer to each.

    Says with an assertion what is not so.
    """
    sessions = stored_sessions(path)
    run_record = latest_run(path)
    assert set(sessions) == set(run_record.session_ids)
    assert len(run_record.session_ids) == len(records)
    for session_id, texts in zip(run_record.session_ids, records, strict=True):
        stored = sessions[session_id]
        questions = [message for message in stored.messages if message.role is Role.USER]
        assert [_text(question) for question in questions] == list(texts), "asked once, in order"
        visible = branch(stored)
        assert [message.role for message in visible] == [Role.USER, Role.ASSISTANT] * len(texts)
        assert [_text(message) for message in visible[::2]] == list(texts)
        assert all(message.state is MessageState.COMPLETE for message in visible)
        complete = [
            message
            for message in stored.messages
            if message.role is Role.ASSISTANT and message.state is MessageState.COMPLETE
        ]
        assert len(complete) == len(texts), "answered once"
        assert not any(message.state is MessageState.STREAMING for message in stored.messages)
    return True


def _text(message: Message) -> str:
    assert isinstance(message.content, Text)
    return message.content.text
