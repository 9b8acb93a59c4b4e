"""The chat: the session that the user is in, the others, and the turns that are answered in it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

import trio

from actors.cli.chat.background import BackgroundTurns
from actors.cli.chat.confirming import Decision, ask_user
from actors.cli.chat.enclosures import Enclosures
from actors.cli.chat.line_reader import LineReader
from actors.cli.chat.open_sessions import OpenSession, OpenSessions
from actors.cli.chat.refused import Refused
from actors.cli.chat.setup import Setup
from actors.cli.chat.toolbox import Toolbox
from actors.cli.chat.turn_view import TurnView
from actors.cli.chat.voice import Voice
from actors.cli.interrupts import Interrupts
from actors.cli.live_turn import LiveTurn
from actors.cli.render_text import reference_line
from actors.conversation import FileReference, FinishReason, MessageState
from actors.endings import ending
from actors.engine import Engine, EngineThread
from actors.errors import EngineError, ErrorCode
from actors.events import TaskOutcome
from actors.printable import one_line
from actors.records import SessionStatus
from actors.session.protocol import SessionSnapshot
from actors.workspace import extract_file_references, process_file_references

__all__ = ["BeginIn", "Chat"]

P = ParamSpec("P")
R = TypeVar("R")

_FILES_READ_AT_ONCE = 1

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
        toolbox: Toolbox,
        setup: Setup,
    ) -> None:
        """`setup` is how its new sessions answer, with what is in `toolbox`."""
        self.voice = voice
        self.reader = reader
        self.interrupts = interrupts
        self.sessions = OpenSessions(first)
        self.background = BackgroundTurns(thread, helper)
        self.store = store
        self.model = model
        self.toolbox = toolbox
        self.setup = setup
        self.enclosed = Enclosures()
        self.is_over = False
        self._thread = thread
        self._helper = helper
        self._reading = trio.CapacityLimiter(_FILES_READ_AT_ONCE)
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
        new = session.setup.new_session(title, session.model)
        self.ask(self.engine.create_session, new, session_id=session.session_id)
        session.is_stored = True
        if title:
            session.name(title)

    def change(self, setup: Setup) -> None:
        """Have the current session answer so from now on.

        Raises:
            EngineError: `SESSION_BUSY`: a turn is unfinished.
        """
        session = self.sessions.current
        if session.is_stored:
            changes = setup.changes(session.setup)
            if changes is not None:
                self.ask(self.engine.update_session, session.session_id, changes)
        session.setup = setup.over(session.setup)

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

    def question(self, text: str) -> BeginIn:
        """Asks this with what is enclosed, and with the files that it refers to, as they are now.

        Of a file that cannot be read is said why, and the question goes without it.
        """
        references: tuple[FileReference, ...] = ()
        if self.toolbox.workspace is None:
            for reference in extract_file_references(text):
                if _is_file(reference.path):
                    named = one_line(reference.text)
                    self.voice.say(f"({named} is sent as text: start with --workspace to send the file)")
        else:
            read = self.ask(
                process_file_references,
                text,
                self.toolbox.workspace,
                now=datetime.now(UTC),
                limiter=self._reading,
                directory=self.sessions.current.setup.directory or "",
            )
            references = read.found
            for reference in references:
                self.voice.say(f"(with {reference_line(reference)})")
            for problem in read.problems:
                self.voice.say(f"(not sent: {one_line(problem)})", "red")
        return functools.partial(
            self.engine.submit_turn,
            text=text,
            images=self.enclosed.images,
            attachments=self.enclosed.attachments,
            references=references,
        )

    def take_turn(self, begin: BeginIn, *, asks_again: bool = False) -> bool:
        """Show the answer while it streams, and ask the user what it waits for; whether it is complete.

        With `asks_again` the turn has several questions, which are shown with their answers.
        """
        view = TurnView(self.voice, self.sessions.current.model, asks_again=asks_again)
        all_understood = True
        try:
            outcome = self._follow(begin, view)
            while outcome.status is SessionStatus.WAITING_CONFIRMATION:
                view.catch_up(self.snapshot(), outcome.task_id)
                view.end_line()
                try:
                    decisions = ask_user(outcome.pending_calls, self.voice, self.reader)
                except KeyboardInterrupt:
                    go_on = self._stopping(outcome.task_id)
                else:
                    all_understood &= all(decision.is_understood for decision in decisions)
                    go_on = self._confirming(outcome.task_id, decisions)
                view.resume()
                outcome = self._follow(go_on, view)
            if asks_again or self.sessions.current.has_tools:
                view.catch_up(self.snapshot(), outcome.task_id)
            view.finish(outcome)
        finally:
            view.end_line()
        return self._tell_end(outcome) and all_understood

    def _follow(self, begin: BeginIn, view: TurnView) -> TaskOutcome:
        turn = LiveTurn(self._thread, self._helper, self.session_id)
        with self.interrupts.told_to(turn.ask_to_stop):
            if self.interrupts.seen and not self.voice.is_interactive:
                turn.ask_to_stop()  # it came on the way here, and ends a script
            self.make_session()
            self.look()
            return turn.follow(functools.partial(begin, self.session_id), view.show)

    def _confirming(self, task_id: str, decisions: Sequence[Decision]) -> BeginIn:
        async def begin(session_id: str) -> str:
            for decision in decisions:
                call = decision.call
                try:
                    await self.engine.confirm_tool_call(
                        session_id, call.call.call_id, decision.outcome, digest=call.digest
                    )
                except EngineError as error:
                    # Somebody else has decided, or has stopped the turn: what comes of it is shown.
                    if error.code not in (ErrorCode.CONFLICT, ErrorCode.INVALID_ARGUMENT):
                        raise
            return task_id

        return begin

    def _stopping(self, task_id: str) -> BeginIn:
        async def begin(session_id: str) -> str:
            await self.engine.abort_turn(session_id, task_id)
            return task_id

        return begin

    def _tell_end(self, outcome: TaskOutcome) -> bool:
        if outcome.status is SessionStatus.FAILED and outcome.error is not None:
            self.voice.fail(outcome.error)
            return False
        completed = outcome.status is SessionStatus.COMPLETED
        if outcome.status is SessionStatus.MAX_TURNS_REACHED:
            how = ending(MessageState.COMPLETE, FinishReason.MAX_TURNS, None)
        else:
            state = MessageState.COMPLETE if completed else MessageState.ABORTED
            how = ending(state, outcome.finish_reason, None)
        if how:
            self.voice.say(f"({how})")
        return completed


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # no file can have such a name
        return False
