"""Work for test_offload.py's worker processes; as a program, a host that is interrupted while one runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import trio

from runtime.offload import offload_statistics, run_killable

__all__ = [
    "Awkward",
    "StubbornError",
    "announce_and_hang",
    "double",
    "fail",
    "fork_and_exit",
    "fork_twice_with_files_open",
    "hang_after_starting_a_program",
    "quit_by_exit",
    "return_lock",
    "talk",
    "threads_of",
]


class Awkward:
    """Can be sent, and not be loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


class StubbornError(Exception):
    """Cannot be loaded: it is pickled with `args`, and made with two arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def double(number: int) -> int:
    return 2 * number


def threads_of(_: object = None) -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def fail(error: BaseException) -> NoReturn:
    raise error


def announce_and_hang(fifo: Path) -> NoReturn:
    """Tell the process's number through a named pipe, and never return."""
    fifo.write_text(f"{os.getpid()}\n")
    while True:
        time.sleep(3600)


def hang_after_starting_a_program(fifo: Path) -> NoReturn:
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    fifo.write_text(f"{program.pid}\n")
    program.wait()
    raise AssertionError("the program has ended")


def fork_and_exit(fifo: Path) -> NoReturn:
    """Die, and leave a forked child behind."""
    child = os.fork()
    if not child:
        while True:
            time.sleep(3600)
    fifo.write_text(f"{child}\n")
    os._exit(7)


def fork_twice_with_files_open() -> int:
    """How many of a forked child's files are open in a child of its own, of the ten that it opens."""
    child = os.fork()
    if not child:
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
        grandchild = os.fork()
        if not grandchild:
            os._exit(sum(os.path.exists(f"/dev/fd/{file}") for file in files))  # noqa: PTH110 - light
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def quit_by_exit() -> NoReturn:
    sys.exit(3)


def return_lock() -> object:
    return threading.Lock()


def talk() -> str:
    """Do with the standard streams what programs do."""
    print("from print")  # noqa: T201 - what is tested
    subprocess.run(["/bin/echo", "from echo"], check=True)
    os.write(1, b"from write\n")
    return sys.stdin.read()


class OfMain:
    """What a script sends and gets back."""

    def __init__(self, number: int) -> None:
        self.number = number


def double_of_main(value: OfMain) -> OfMain:
    return OfMain(2 * value.number)


async def be_interrupted(fifo: Path) -> None:
    """Use a worker, be interrupted with it idle, use it, be interrupted with it at work, use another."""
    try:
        say(str(await run_killable(double, 1)))
        await trio.sleep_forever()
    except KeyboardInterrupt:
        say(str(await run_killable(double, 2)))
    try:
        await run_killable(announce_and_hang, fifo)
    except KeyboardInterrupt:
        say(str(offload_statistics().processes))
    say(str(await run_killable(double, 3)))


async def use_main() -> None:
    result = await run_killable(double_of_main, OfMain(4))
    say(f"{type(result) is OfMain} {result.number}")


async def hang(fifo: Path) -> None:
    await run_killable(announce_and_hang, fifo)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    signal.alarm(120)  # should the test be killed, this does not outlive it for long
    match sys.argv[1:]:
        case ["be interrupted", fifo]:
            trio.run(be_interrupted, Path(fifo))
        case ["hang", fifo]:
            trio.run(hang, Path(fifo))
        case _:
            trio.run(use_main)
