"""What tools do, well and badly, as functions that threads and processes can call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import trio

from actors.tools import Tool, ToolContext, ToolKind, tool

Arguments = Mapping[str, object]

LINES = 10_000
MUCH = 10_000_000

RELEASE = threading.Event()
"""Ends the threads that hang; in a worker process nobody sets it."""


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


def greet(arguments: Arguments, _: ToolContext) -> str:
    return f"hello {arguments.get('name', 'nobody')}"


def fail(_: Arguments, __: ToolContext) -> str:
    raise ValueError("no such file")


def exit_python(_: Arguments, __: ToolContext) -> str:
    raise SystemExit(3)


def interrupt(_: Arguments, __: ToolContext) -> str:
    raise KeyboardInterrupt


def fail_speechless(_: Arguments, __: ToolContext) -> str:
    raise SpeechlessError


def return_number(_: Arguments, __: ToolContext) -> str:
    return msgspec.json.decode("5", type=int)  # pyright: ignore[reportReturnType] - as untyped code may


def return_much(_: Arguments, __: ToolContext) -> str:
    return f"begin{'ä' * (MUCH // 2)}end"


def flood(_: Arguments, context: ToolContext) -> str:
    for number in range(LINES):
        context.show(f"line {number:5}\n")
    return "flooded"


def hang(_: Arguments, __: ToolContext) -> str:
    RELEASE.wait()
    return "too late"


def crash(_: Arguments, __: ToolContext) -> str:
    os._exit(4)


def tell_where(_: Arguments, context: ToolContext) -> str:
    return f"{context.session_id} {context.task_id} {context.call_id} {context.directory}"


def hang_with_child(arguments: Arguments, _: ToolContext) -> str:
    """Start a process that holds the pipe open, say that it runs, and hang."""
    code = "import sys, time; pipe = open(sys.argv[1], 'wb', 0); pipe.write(b'!'); time.sleep(3600)"
    subprocess.Popen([sys.executable, "-c", code, str(arguments["pipe"])])
    RELEASE.wait()
    return ""


def of_kind(kind: ToolKind, function: Callable[[Arguments, ToolContext], str]) -> Tool:
    """The same deed as an async, a thread or a process tool, with the limits of tests."""
    name = function.__name__

    async def call(arguments: Arguments, context: ToolContext) -> str:
        await trio.lowlevel.checkpoint()
        if function is hang:
            await trio.sleep_forever()
        return function(arguments, context)

    return Tool(
        name=name,
        description=f"does {name}",
        function=call if kind is ToolKind.ASYNC else function,
        runs=kind,
        output_limit_bytes=1000,
    )


@tool(runs="process")
def count_words(text: str, folder: Path = Path(), *, loud: bool = False) -> dict[str, object]:
    """Count the words of a text."""
    return {"words": len(text.split()), "folder": folder, "loud": loud}


def shout(text: str, context: ToolContext) -> str:
    return f"{text.upper()} in {context.session_id}"


shout_tool = tool(runs="process")(shout)
