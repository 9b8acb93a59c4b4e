"""An MCP server on standard streams without any SDK, that can misbehave. Started as a program.

Usage: crooked_server.py WAY [FILE]. It appends to FILE one line for each thing worth knowing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

WAY = sys.argv[1]
FILE = sys.argv[2] if len(sys.argv) > 2 else os.devnull

GROWN: list[bool] = []


def note(text: str) -> None:
    with open(FILE, "a", encoding="utf-8") as file:  # noqa: PTH123 - a script
        file.write(text + "\n")


def send(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"does {name}", "inputSchema": {"type": "object"}, **more}


TOOLS = [
    tool("echo", annotations={"readOnlyHint": True}),
    tool("wait"),
    tool("die"),
    tool("fail"),
    tool("steps"),
]


def listing(params: dict[str, Any]) -> dict[str, Any]:
    cursor = int(params.get("cursor", "0"))
    if WAY == "duplicates":
        return {
            "tools": [tool("a.b"), tool("a_b"), tool("a b"), tool("same"), tool("same"), tool("x" * 100)]
        }
    if WAY == "endless":
        return {"tools": [tool(f"t{cursor}")], "nextCursor": str(cursor + 1)}
    if WAY == "pages":
        page = {"tools": [TOOLS[cursor]]}
        return page if cursor + 1 == len(TOOLS) else {**page, "nextCursor": str(cursor + 1)}
    if GROWN:
        return {"tools": [*TOOLS, tool("fresh")]}
    return {"tools": TOOLS}


def call(number: object, params: dict[str, Any]) -> None:
    name: str = params["name"]
    arguments: dict[str, Any] = params.get("arguments") or {}

    def text(said: str, **more: Any) -> None:
        send(id=number, result={"content": [{"type": "text", "text": said}], **more})

    if name == "echo":
        text(str(arguments.get("text", "")) or json.dumps(dict(os.environ)))
    elif name == "fail":
        text("that did not work", isError=True)
    elif name == "die":
        note("dying")
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "wait":
        note("waiting")
    elif name == "steps":
        token = params["_meta"]["progressToken"]
        for step in (1, 2):
            said = {"progressToken": token, "progress": step, "total": 2, "message": f"step {step}"}
            send(method="notifications/progress", params=said)
        if WAY == "growing":
            GROWN.append(True)
            send(method="notifications/tools/list_changed")
        text("done")


def serve() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        params: dict[str, Any] = message.get("params") or {}
        if method == "initialize":
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "crooked", "version": "1"},
            }
            send(id=number, result=result)
        elif method == "tools/list":
            send(id=number, result=listing(params))
        elif method == "tools/call":
            call(number, params)
        elif method == "notifications/cancelled":
            note("cancelled")
        elif number is not None:
            send(id=number, error={"code": -32601, "message": "Method not found"})


def main() -> None:
    note(f"pid {os.getpid()}")
    if WAY == "exit":
        sys.exit(f"no key in {os.environ.get('SECRET_KEY', 'the environment')}")
    if WAY == "hang":
        signal.pause()
    if WAY == "flood":
        for number in range(20_000):
            sys.stderr.write(f"{number} {'noise ' * 20}{os.environ.get('SECRET_KEY')}\n")
    if WAY == "garbage":
        sys.stdout.write('hello!\n\n{"jsonrpc": 1}\n[]\n\x00\xff\n')
    if WAY == "long-line":
        sys.stdout.write("x" * 20_000_000)
        sys.stdout.flush()
    if WAY in ("family", "stubborn"):
        # A child that outlives a polite end, and holds the pipes open.
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        note(f"child {child.pid}")
    if WAY == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve()
    if WAY == "stubborn":
        signal.pause()
    note("end")


if __name__ == "__main__":
    main()
