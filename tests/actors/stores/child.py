"""What the tests do with a store in a process of its own. It reports on stdout, a line of JSON each."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from actors.errors import EngineError
from actors.records import SessionWrite
from actors.stores import SqliteStore
from tests.actors.stores.samples import answer, creation, piece, text_of

NOBODY = 65534


def report(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def hold(path: Path) -> None:
    """Own the store until stdin ends."""
    store = SqliteStore.open(path)
    report(pid=os.getpid())
    sys.stdin.read()
    store.close()


def look(path: Path) -> None:
    """Read the store, and leave."""
    store = SqliteStore.open(path, read_only=True)
    report(sessions=[summary.session_id for summary in store.list_sessions()])
    store.close()


def write_forever(path: Path) -> None:
    """Continue session "s" with numbered words, and acknowledge each commit by its revision."""
    store = SqliteStore.open(path)
    store.commit([creation("s", answer("a"))])
    stored = store.load("s")
    revision = stored.revision
    while True:
        revision += 1
        (error,) = store.commit([SessionWrite("s", stored.epoch, revision, (piece("a", f"{revision} "),))])
        assert error is None
        report(revision=revision)


def run_out_of_space(path: Path) -> None:
    """Commit what fits, what does not, and then the same again with more room."""
    store = SqliteStore.open(path)
    store.commit([creation("s", answer("a", "fits"))])
    too_much = SessionWrite("s", 1, 2, (piece("a", "x" * 1_000_000),))
    _, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard_limit))
    try:
        store.commit([too_much])
    except EngineError as error:
        report(code=error.code, message=error.message)
    report(text_length=len(text_of(store, "s", "a").text))
    store.commit([SessionWrite("s", 1, 2, (piece("a", " again"),))])
    report(text=text_of(store, "s", "a").text)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))
    store.commit([SessionWrite("s", 1, 3, (piece("a", "x" * 1_000_000),))])
    report(text_length=len(text_of(store, "s", "a").text))
    store.close()


def create_without_space(path: Path) -> None:
    """Try to make a store where there is no room for its tables."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
    try:
        SqliteStore.open(path)
    except EngineError as error:
        report(code=error.code)


def open_without_privileges(path: Path) -> None:
    """Try to own and to read the store as a user to whom permissions apply, unlike root."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for read_only in (False, True):
        try:
            store = SqliteStore.open(path, read_only=read_only)
        except EngineError as error:
            report(code=error.code, message=error.message)
        else:
            report(sessions=[summary.session_id for summary in store.list_sessions()])
            store.close()


if __name__ == "__main__":
    tasks = (
        create_without_space,
        hold,
        look,
        open_without_privileges,
        run_out_of_space,
        write_forever,
    )
    {task.__name__: task for task in tasks}[sys.argv[1]](Path(sys.argv[2]))
