"""Reads line after line and does what it asks for."""

from __future__ import annotations

import re

from actors.cli.chat.background import Ended
from actors.cli.chat.chat import Chat
from actors.cli.chat.commands import COMMANDS
from actors.cli.chat.enclosures import Enclosures
from actors.cli.chat.open_sessions import short_id
from actors.cli.chat.refused import Refused
from actors.cli.status import ExitStatus
from actors.errors import EngineError
from actors.printable import one_line
from actors.records import SessionStatus
from actors.view_models import status_line

__all__ = ["converse"]

_COMMAND = re.compile(r"(/[a-z]+!?|/|//\S*)(?:\s+(.*))?", re.DOTALL)
"""A path such as /etc/hosts is none. A slash alone and a doubled one are, so that they are not sent."""


def converse(chat: Chat) -> int:
    """Obey lines until there are no more; the exit status."""
    all_completed = True
    is_interactive = chat.voice.is_interactive
    while not chat.is_over and (is_interactive or not chat.interrupts.seen):
        all_completed &= _tell_news(chat)
        line = chat.reader.read(_prompt(chat))
        if line is None:
            break
        all_completed &= _obey(chat, line)
    if is_interactive:
        unfinished = chat.background.unfinished()
        if unfinished:
            chat.voice.say(f"({unfinished} unfinished in the background: stopped, and /retry goes on)")
        return ExitStatus.OK
    all_completed &= _show_background(chat)
    if chat.interrupts.seen:
        return ExitStatus.INTERRUPTED
    return ExitStatus.OK if all_completed else ExitStatus.FAILED


def _prompt(chat: Chat) -> str:
    if len(chat.sessions) == 1:
        return "> "
    return f"{chat.sessions.number_of(chat.session_id)}> "


def _show_background(chat: Chat) -> bool:
    """A script gets all its answers, also those for which it did not wait."""
    all_completed = True
    for session_id in chat.background.sessions():
        if chat.interrupts.seen:
            break
        number = chat.sessions.number_of(session_id)
        if session_id != chat.session_id:
            chat.sessions.current = chat.sessions.at(f"{number}")
            chat.voice.say(f"session {short_id(session_id)} answers:")
        all_completed &= _obey(chat, "/wait")
    return all_completed


def _obey(chat: Chat, line: str) -> bool:
    """Do what a line asks for; False if that was a turn that did not complete, or cannot be done."""
    try:
        found = _COMMAND.fullmatch(line.rstrip())
        if found is not None:
            return _obey_command(chat, found[1], (found[2] or "").strip())
        if not line.strip():
            return True
        chat.sessions.current.name_if_nameless(line)
        is_complete = chat.take_turn(chat.question(line))
        chat.enclosed = Enclosures()  # after a refusal it is there for the next try
        return is_complete
    except Refused as refusal:
        chat.voice.say(one_line(str(refusal)))
    except EngineError as error:
        chat.voice.fail(error.info)
    return False


def _obey_command(chat: Chat, name: str, argument: str) -> bool:
    command = COMMANDS.get(name)
    if command is None:
        raise Refused(
            f"there is no command {name}; /help shows those that there are, "
            "and a space before the / sends the line as it is"
        )
    command.check(argument)
    return command.obey(chat, argument)


def _tell_news(chat: Chat) -> bool:
    """Say which turns have ended in the background or wait, and in a terminal how all sessions stand.

    False if one of these turns did not complete.
    """
    all_completed = True
    for ended in chat.background.news():
        all_completed &= ended.status in (SessionStatus.COMPLETED, SessionStatus.WAITING_CONFIRMATION)
        chat.voice.say(_notice(chat, ended))
    if chat.voice.is_interactive and (chat.background or len(chat.sessions) > 1):
        pool = chat.ask(chat.engine.pool_status)
        runtimes = chat.ask(chat.engine.runtimes)
        if pool.running or pool.queued or pool.waiting or any(runtime.unread_count for runtime in runtimes):
            waits = f" | {pool.waiting} waiting for your decision" if pool.waiting else ""
            chat.voice.say(f"[{status_line(pool, runtimes)}{waits}]")
    return all_completed


def _notice(chat: Chat, ended: Ended) -> str:
    number = chat.sessions.number_of(ended.session_id)
    way = "/wait" if ended.session_id == chat.session_id else f"/go {number}"
    how = "finished"
    if ended.status is SessionStatus.WAITING_CONFIRMATION:
        asks = "/wait asks" if ended.session_id == chat.session_id else f"/go {number}, then /wait asks"
        return f"Session {short_id(ended.session_id)} waits for your decision: {asks}"
    if ended.status is SessionStatus.FAILED:
        how = f"failed: {one_line(ended.error.message)}" if ended.error is not None else "failed"
    elif ended.status is SessionStatus.ABORTED:
        how = "stopped"
    return f"Session {short_id(ended.session_id)} {how}: {way} shows it"
