"""`greenroom chat`: a conversation in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import re
import sys
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import cast

from actors.cli.answer_screen import AnswerScreen
from actors.cli.arguments import (
    Subparsers,
    add_logging_options,
    add_model_options,
    add_store_option,
    engine_settings,
)
from actors.cli.interrupts import Interrupts
from actors.cli.live_turn import LiveTurn
from actors.cli.screen import Screen
from actors.cli.status import ExitStatus
from actors.cli.stored_session import stored_session
from actors.conversation import MessageState
from actors.endings import ending
from actors.engine import EngineThread, start_engine
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.printable import one_line, printable
from actors.records import SessionStatus, StoredSession
from actors.settings import EngineSettings
from actors.tree import ConversationTree

with contextlib.suppress(ImportError):  # some builds of Python lack it
    import readline as readline  # gives input() line editing and history

__all__ = ["add_parser", "run"]

_PROMPT = "> "
_HELP = """\
/retry  answer the last question again that has no complete answer
/quit   end; everything is saved
/help   this
Ctrl-C  stops an answer; at the prompt it ends the chat, as Ctrl-D does
"""
_COMMAND = re.compile(r"/[a-z]+")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `chat` to `greenroom`."""
    parser = subparsers.add_parser(
        "chat",
        help="talk to a model",
        description="Talk to a model. With piped standard input each line is a message, and the exit "
        "status is 0 when every turn completed, 1 when some did not, 130 when Ctrl-C ended it.",
    )
    parser.add_argument(
        "session",
        nargs="?",
        metavar="SESSION",
        help="continue this one; its id, or the beginning of it",
    )
    add_model_options(parser)
    add_store_option(parser)
    add_logging_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Talk until the user has enough; the exit status."""
    stored = None
    if arguments.session is not None:
        stored = stored_session(arguments.store, arguments.session)
    settings = _settings(arguments, stored)
    _use_lenient_input()
    interrupts = Interrupts()
    # The engine ends first, and with it the call that the helper may still be in.
    with ThreadPoolExecutor(max_workers=1) as helper, start_engine(settings) as thread:
        session_id = str(uuid.uuid4()) if stored is None else stored.record.session_id
        chat = _Chat(thread, helper, interrupts, session_id, exists=stored is not None)
        chat.say(f"session {session_id} with {settings.model}")
        if stored is None and arguments.model is None and not arguments.base_url:
            chat.say(f"{settings.model} repeats what you say; --model PROVIDER:MODEL names a real one")
        if stored is not None and _has_unanswered_question(stored):
            chat.say("the last question has no complete answer; /retry answers it")
        return chat.converse()


def _settings(arguments: argparse.Namespace, stored: StoredSession | None) -> EngineSettings:
    default_model = "openai:default" if arguments.base_url else "scripted:echo"
    if stored is not None:
        default_model = stored.record.model
        if arguments.model not in (None, default_model):
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"session {stored.record.session_id} keeps its model, {default_model}: leave out --model, "
                f"or leave out SESSION to begin another",
            )
    return engine_settings(arguments, store=arguments.store, default_model=default_model)


def _use_lenient_input() -> None:
    """Read UTF-8 from a pipe whatever the locale; what is no text becomes a replacement character."""
    stdin = cast("io.TextIOWrapper[io.BufferedReader] | None", sys.stdin)
    if stdin is None:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, "standard input is closed: there is nobody to talk to"
        )
    stdin.reconfigure(encoding=None if stdin.isatty() else "utf-8", errors="replace")


def _has_unanswered_question(stored: StoredSession) -> bool:
    tree = ConversationTree(stored.messages)
    return tree.unanswered_question(stored.record.active_leaf_id) is not None


class _Chat:
    """Reads lines on the main thread, where signals arrive, and has the engine answer them in its own."""

    def __init__(
        self,
        thread: EngineThread,
        helper: Executor,
        interrupts: Interrupts,
        session_id: str,
        *,
        exists: bool,
    ) -> None:
        self._thread = thread
        self._helper = helper
        self._interrupts = interrupts
        self._session_id = session_id
        self._exists = exists
        self._screen = Screen()
        self._interactive = sys.stdin.isatty() and self._screen.is_terminal

    def say(self, text: str, style: str = "dim") -> None:
        """Say what is no part of the conversation; beside a pipe it stays out of the answers."""
        if self._interactive:
            self._screen.write(f"{text}\n", style)
        else:
            sys.stderr.write(f"{printable(text)}\n")
            sys.stderr.flush()

    def converse(self) -> int:
        """Answer lines until there are no more; the exit status."""
        all_completed = True
        while self._interactive or not self._interrupts.seen:
            line = self._read_line()
            if line is None or line.strip() == "/quit":
                break
            all_completed &= self._obey(line)
        if self._interactive:
            return ExitStatus.OK
        if self._interrupts.seen:
            return ExitStatus.INTERRUPTED
        return ExitStatus.OK if all_completed else ExitStatus.FAILED

    def _read_line(self) -> str | None:
        """The next line; None at the end of the input and after Ctrl-C."""
        try:
            with self._interrupts.raising():
                if self._interactive:
                    return input(_PROMPT)
                return sys.stdin.readline() or None
        except (EOFError, KeyboardInterrupt):
            if self._interactive:
                self._screen.write("\n")
            return None

    def _obey(self, line: str) -> bool:
        """Do what a line asks for; False if that was a turn that did not complete, or cannot be done."""
        match line.strip():
            case "":
                return True
            case "/help":
                self.say(_HELP.rstrip())
                return True
            case "/retry" if not self._exists:
                self.say("there is no question yet")
                return False
            case "/retry":
                return self._take_turn(self._thread.engine.resume_turn)
            case word if _COMMAND.fullmatch(word):
                self.say(f"there is no command {word}; /help shows those that there are")
                return False
            case _:
                text = line.removesuffix("\n")
                return self._take_turn(functools.partial(self._thread.engine.submit_turn, text=text))

    def _take_turn(self, begin: Callable[[str], Awaitable[str]]) -> bool:
        """Show the answer while it streams; whether it is complete."""
        answer = AnswerScreen(self._screen)
        turn = LiveTurn(self._thread, self._helper, self._session_id)
        try:
            with self._interrupts.told_to(turn.ask_to_stop):
                self._make_session()
                outcome = turn.follow(functools.partial(begin, self._session_id), answer.add)
            answer.finish(outcome)
        except EngineError as error:
            answer.end_line()
            self.say(_failure(error.info), "red")
            return False
        if outcome.status is SessionStatus.FAILED and outcome.error is not None:
            self.say(_failure(outcome.error), "red")
            return False
        completed = outcome.status is SessionStatus.COMPLETED
        how = ending(
            MessageState.COMPLETE if completed else MessageState.ABORTED, outcome.finish_reason, None
        )
        if how:
            self.say(f"({how})")
        return completed

    def _make_session(self) -> None:
        """Create the session with its first turn, so that a chat without one leaves nothing."""
        if not self._exists:
            self._thread.call(
                functools.partial(self._thread.engine.create_session, session_id=self._session_id)
            )
            self._exists = True


def _failure(error: ErrorInfo) -> str:
    wait_seconds = error.details.get("retry_after_seconds")
    if not error.retryable:
        advice = "a retry would fail again"
    elif wait_seconds is None:
        advice = "worth a retry: /retry"
    else:
        advice = f"worth a retry in {wait_seconds} seconds: /retry"
    return f"failed: {error.code}: {one_line(error.message)} ({advice})"
