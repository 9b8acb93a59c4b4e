"""The chat: the session that the user is in, the others, and the turns that are answered in it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar, assert_never

from actors.cli.answer_screen import AnswerScreen
from actors.cli.chat.background import BackgroundTurns
from actors.cli.chat.line_reader import LineReader
from actors.cli.chat.open_sessions import OpenSession, OpenSessions
from actors.cli.chat.refused import Refused
from actors.cli.chat.voice import Voice
from actors.cli.interrupts import Interrupts
from actors.cli.live_turn import LiveTurn, Shown
from actors.conversation import MessageState, Role, Text
from actors.endings import ending
from actors.engine import Engine, EngineThread
from actors.events import AnswerStreamed, MessageAdded, SessionStatusChanged, TaskOutcome
from actors.records import SessionStatus
from actors.session.protocol import SessionSnapshot

__all__ = ["BeginIn", "Chat"]

P = ParamSpec("P")
R = TypeVar("R")

BeginIn = Callable[[str], Awaitable[str]]
"""Begins a turn of the session with this id; the task id."""


class Chat:
    """What the commands work with. Runs on the main thread, where signals arrive; the engine in its own."""

    def __init__(
        self,
        thread: EngineThread,
        helper: Executor,
        interrupts: Interrupts,
        voice: Voice,
        reader: LineReader,
        first: OpenSession,
        *,
        store: str,
        model: str,
    ) -> None:
        self.voice = voice
        self.reader = reader
        self.interrupts = interrupts
        self.sessions = OpenSessions(first)
        self.background = BackgroundTurns(thread, helper)
        self.store = store
        self.model = model
        self._thread = thread
        self._helper = helper
        self.is_over = False
        self._looked_at: str | None = None

    @property
    def engine(self) -> Engine:
        return self._thread.engine

    @property
    def session_id(self) -> str:
        return self.sessions.current.session_id

    def ask(self, method: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a method of the engine and wait for its answer."""
        return self._thread.call(functools.partial(method, *args, **kwargs))

    # --- the current session ------------------------------------------------------------------------

    def snapshot(self) -> SessionSnapshot:
        """The current session as it is now; the user looks at it.

        Raises:
            Refused: nothing was said in it yet.
        """
        if not self.sessions.current.is_stored:
            raise Refused("nothing has been said in this session yet")
        self.look()
        return self.ask(self.engine.snapshot, self.session_id)

    def make_session(self, title: str = "") -> None:
        """Store the current session, with the first that is said in it or its title."""
        session = self.sessions.current
        if session.is_stored:
            return
        self.ask(
            self.engine.create_session, session_id=session.session_id, title=title, model=session.model
        )
        session.is_stored = True
        if title:
            session.name(title)

    def look(self) -> None:
        """Nothing that comes in the current session is unread from now on."""
        if self._looked_at != self.session_id:
            self.ask(self.engine.register_session, self.session_id)
            self.ask(self.engine.set_active_session, self.session_id)
            self._looked_at = self.session_id

    def look_away(self) -> None:
        """What comes now is unread, in whichever session."""
        if self._looked_at is not None:
            self.ask(self.engine.set_active_session, None)
            self._looked_at = None

    # --- its turns ----------------------------------------------------------------------------------

    def take_turn(self, begin: BeginIn, *, asks_again: bool = False) -> bool:
        """Show the answer while it streams; whether it is complete.

        With `asks_again` the turn has several questions, which are shown with their answers.
        """
        answer = AnswerScreen(self.voice.screen)
        view = _TurnView(self.voice, answer, asks_again=asks_again)
        turn = LiveTurn(self._thread, self._helper, self.session_id)
        try:
            with self.interrupts.told_to(turn.ask_to_stop):
                self.make_session()
                self.look()
                outcome = turn.follow(functools.partial(begin, self.session_id), view.show)
                if asks_again:
                    view.catch_up(self.snapshot(), outcome.task_id)
            answer.finish(outcome)
        finally:
            answer.end_line()
        return self._tell_end(outcome)

    def _tell_end(self, outcome: TaskOutcome) -> bool:
        if outcome.status is SessionStatus.FAILED and outcome.error is not None:
            self.voice.fail(outcome.error)
            return False
        completed = outcome.status is SessionStatus.COMPLETED
        how = ending(
            MessageState.COMPLETE if completed else MessageState.ABORTED, outcome.finish_reason, None
        )
        if how:
            self.voice.say(f"({how})")
        return completed


class _TurnView:
    def __init__(self, voice: Voice, answer: AnswerScreen, *, asks_again: bool) -> None:
        self._voice = voice
        self._answer = answer
        self._asks_again = asks_again
        self._questions = 0

    def show(self, shown: Shown) -> None:
        match shown:
            case AnswerStreamed(parts):
                self._answer.add(parts)
            case MessageAdded(message):
                if self._asks_again and message.role is Role.USER and isinstance(message.content, Text):
                    self._ask(message.content.text)
            case SessionStatusChanged(status):
                if status is SessionStatus.QUEUED:
                    self._voice.say("(waiting for another answer to end; Ctrl-C gives up)")
            case _:
                assert_never(shown)

    def catch_up(self, snapshot: SessionSnapshot, task_id: str) -> None:
        """Show what of a task with several questions came too late to be shown as it happened."""
        number = 0
        for message in snapshot.messages:
            if message.task_id != task_id or not isinstance(message.content, Text):
                continue
            if message.role is Role.USER:
                number += 1
                if number > self._questions:
                    self._ask(message.content.text)
            elif number == self._questions:
                self._answer.complete(message.content.text, message.content.thought)

    def _ask(self, question: str) -> None:
        self._questions += 1
        self._answer.ask(question)
