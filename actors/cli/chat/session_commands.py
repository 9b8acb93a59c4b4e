"""The commands about sessions: the current one as a whole, the others, and what they answer meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actors.cli.chat.chat import Chat
from actors.cli.chat.enclosures import Enclosures
from actors.cli.chat.listings import session_lines
from actors.cli.chat.message_commands import glance
from actors.cli.chat.open_sessions import OpenSession, short_id
from actors.cli.chat.refused import Refused
from actors.cli.stored_session import resolve_session
from actors.errors import EngineError
from actors.markdown import snapshot_markdown
from actors.records import SessionStatus
from actors.session.protocol import SessionChanges

__all__ = [
    "ask_in_background",
    "export",
    "export_over",
    "go",
    "list_sessions",
    "new",
    "stop",
    "title",
    "wait",
    "waiting_task",
]

_LONGEST_NUMBER = 3
"""Digits: what has more of them is the beginning of an id."""


def new(chat: Chat, argument: str) -> bool:
    chat.look_away()
    chat.sessions.begin(chat.model, chat.setup)
    if argument:
        chat.make_session(argument)
    chat.voice.say(f"session {chat.session_id} with {chat.sessions.current.model}")
    return True


def title(chat: Chat, argument: str) -> bool:
    session = chat.sessions.current
    if not argument:
        title = chat.snapshot().record.title
        chat.voice.show(title or "this session has no title; /title TEXT gives it one")
    elif session.is_stored:
        chat.ask(chat.engine.update_session, chat.session_id, SessionChanges(title=argument))
        session.name(argument)
    else:
        chat.make_session(argument)
    return True


def list_sessions(chat: Chat, _: str) -> bool:
    for line in session_lines(chat.sessions, chat.ask(chat.engine.runtimes)):
        chat.voice.show(line)
    others = sum(
        chat.sessions.find(summary.session_id) is None for summary in chat.ask(chat.engine.list_sessions)
    )
    if others:
        chat.voice.say(f"{others} more in {chat.store}: /go ID takes the beginning of an id")
    return True


def go(chat: Chat, argument: str) -> bool:
    is_number = argument.isdecimal() and len(argument) <= _LONGEST_NUMBER
    session = chat.sessions.at(argument) if is_number else _stored(chat, argument)
    if session is not chat.sessions.current:
        chat.look_away()
        if chat.sessions.find(session.session_id) is None:
            chat.sessions.open(session)
        chat.sessions.current = session
    chat.voice.say(f"session {session.session_id} with {session.model}")
    all_completed = True
    if session.is_stored:
        glance(chat)
        chat.look()
        if not chat.voice.is_interactive:
            all_completed = _show(chat, chat.background.take(session.session_id, ended=True))
    if waiting_task(chat) is not None:
        chat.voice.say("a tool call waits for your decision: /wait asks, /stop stops the turn")
    elif chat.background.is_answering(session.session_id):
        chat.voice.say("it is still answering: /wait shows the answer, /stop stops it")
    return all_completed


def waiting_task(chat: Chat) -> str | None:
    """The turn of the current session that waits for the user, if there is one."""
    if not chat.sessions.current.is_stored:
        return None
    record = chat.snapshot().record
    waits = record.status is SessionStatus.WAITING_CONFIRMATION and record.task is not None
    return record.task.task_id if waits and record.task is not None else None


def _stored(chat: Chat, reference: str) -> OpenSession:
    stored_ids = [summary.session_id for summary in chat.ask(chat.engine.list_sessions)]
    try:
        session_id = resolve_session(reference, stored_ids, chat.store)
    except EngineError as error:
        raise Refused(f"{error.message}; /sessions has those of this chat") from None
    opened = chat.sessions.find(session_id)
    if opened is not None:
        return opened
    snapshot = chat.ask(chat.engine.snapshot, session_id)
    return OpenSession.stored(snapshot.record, snapshot.messages)


def ask_in_background(chat: Chat, argument: str) -> bool:
    chat.make_session()
    chat.look()  # it stays known, so that what is unread is counted
    chat.look_away()
    task_id = chat.ask(chat.question(argument), chat.session_id)
    chat.enclosed = Enclosures()
    if chat.voice.is_interactive:  # a script gets all its answers
        chat.background.forget_told(chat.session_id)
    chat.sessions.current.name_if_nameless(argument)
    chat.background.add(chat.session_id, task_id)
    chat.voice.say(f"session {short_id(chat.session_id)} answers in the background")
    return True


def wait(chat: Chat, _: str) -> bool:
    task_ids = chat.background.take(chat.session_id)
    waiting_id = waiting_task(chat)
    if waiting_id is not None and waiting_id not in task_ids:
        task_ids = (*task_ids, waiting_id)  # one of before, or of another program
    if not task_ids:
        chat.voice.say("nothing is being answered in this session")
    return _show(chat, task_ids)


def _show(chat: Chat, task_ids: Iterable[str]) -> bool:
    """Show the answers of these tasks of the current session, as they stream; whether all are complete."""
    all_completed = True
    for task_id in task_ids:

        async def begun(_: str, task_id: str = task_id) -> str:
            return task_id

        all_completed &= chat.take_turn(begun)
    return all_completed


def stop(chat: Chat, argument: str) -> bool:
    session = chat.sessions.at(argument) if argument else chat.sessions.current
    if not session.is_stored or not chat.ask(chat.engine.abort_turn, session.session_id):
        raise Refused(f"nothing is being answered in session {short_id(session.session_id)}")
    try:
        with chat.interrupts.raising():
            is_stopped = chat.background.wait_stopped(session.session_id)
    except KeyboardInterrupt:
        return False
    if is_stopped:  # else its answer was complete before, and that is told as of any other
        chat.voice.say(f"session {short_id(session.session_id)} stopped")
    return True


def export(chat: Chat, argument: str) -> bool:
    return _write(chat, argument, mode="x")


def export_over(chat: Chat, argument: str) -> bool:
    return _write(chat, argument, mode="w")


def _write(chat: Chat, argument: str, *, mode: str) -> bool:
    markdown = snapshot_markdown(chat.snapshot())
    try:
        path = Path(argument).expanduser()
        with path.open(mode, encoding="utf-8") as file:
            file.write(markdown)
    except FileExistsError:
        raise Refused(f"{argument} exists already: name another file, or /export! {argument}") from None
    except (OSError, RuntimeError, ValueError) as error:  # the last two: no such user's home, a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(f"cannot write {argument}: {reason}") from None
    chat.voice.say(f"written to {path}")
    return True
