"""The command line of `greenroom chat`."""

from __future__ import annotations

import argparse
import uuid
from concurrent.futures import ThreadPoolExecutor

from actors.cli.arguments import (
    Subparsers,
    add_logging_options,
    add_model_options,
    add_store_option,
    engine_settings,
)
from actors.cli.call_options import add_call_options, call_settings
from actors.cli.chat.chat import Chat
from actors.cli.chat.conversing import converse
from actors.cli.chat.line_reader import LineReader
from actors.cli.chat.open_sessions import OpenSession
from actors.cli.chat.setup import Setup, add_setup_options
from actors.cli.chat.tool_commands import tell_tools
from actors.cli.chat.toolbox import Toolbox, add_tool_options
from actors.cli.chat.voice import Voice
from actors.cli.interrupts import Interrupts
from actors.cli.stored_session import stored_session
from actors.engine import start_engine
from actors.errors import EngineError, ErrorCode
from actors.records import SessionStatus, StoredSession
from actors.settings import EngineSettings
from actors.tree import ConversationTree

__all__ = ["add_parser", "run"]

_ECHO = "scripted:echo"
_OF_ENDPOINT = "openai:default"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `chat` to `greenroom`."""
    parser = subparsers.add_parser(
        "chat",
        help="talk to a model",
        description="Talk to a model, in one session or several; /help lists what else a line can ask for. "
        "With piped standard input each line is a message or a command, and the exit status is 0 when "
        "every turn completed and every command could be obeyed, 1 when some did not, 130 when Ctrl-C "
        "ended it.",
    )
    parser.add_argument(
        "session",
        nargs="?",
        metavar="SESSION",
        help="continue this one; its id, or the beginning of it",
    )
    add_model_options(parser, without=f"{_ECHO}; {_OF_ENDPOINT} with --base-url")
    add_call_options(parser)
    add_tool_options(parser)
    add_setup_options(parser)
    add_store_option(parser)
    add_logging_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Talk until the user has enough; the exit status."""
    stored = None
    if arguments.session is not None:
        stored = stored_session(arguments.store, arguments.session)
    settings = _settings(arguments, stored)
    toolbox = Toolbox.named(arguments)
    setup = Setup.asked(arguments, toolbox, call_settings(arguments, settings, settings.model))
    voice = Voice()
    interrupts = Interrupts()
    reader = LineReader(interrupts, voice)
    first = _first_session(stored, settings.model, setup)
    # For each turn that there can be, and for the one that is shown.
    calls = settings.max_concurrent + settings.max_queue_size + 1
    # The engine ends first, and with it the calls that the helper may still be in.
    with (
        ThreadPoolExecutor(max_workers=calls) as helper,
        start_engine(settings, tools=toolbox.tools, mcp_servers=toolbox.mcp_servers) as thread,
    ):
        chat = Chat(
            thread,
            helper,
            interrupts,
            voice,
            reader,
            first,
            store=arguments.store,
            model=settings.model,
            toolbox=toolbox,
            setup=setup,
        )
        voice.say(f"session {first.session_id} with {settings.model}")
        if stored is None and arguments.model is None and not arguments.base_url:
            voice.say(f"{settings.model} repeats what you say; --model PROVIDER:MODEL names a real one")
        if stored is not None:
            _take_up(chat, stored, setup)
        tell_tools(chat)
        return converse(chat)


def _first_session(stored: StoredSession | None, model: str, setup: Setup) -> OpenSession:
    if stored is None:
        return OpenSession(str(uuid.uuid4()), model, setup, is_stored=False)
    return OpenSession.stored(stored.record, stored.messages)


def _take_up(chat: Chat, stored: StoredSession, setup: Setup) -> None:
    """Have a stored session answer as the command line asks, and say what it waits for."""
    if stored.record.status is SessionStatus.WAITING_CONFIRMATION:
        chat.voice.say("a tool call waits for your decision: /wait asks, /stop stops the turn")
    elif _has_unanswered_question(stored):
        chat.voice.say("the last question has no complete answer; /retry answers it")
    try:
        chat.change(setup)
    except EngineError as error:
        if error.code is not ErrorCode.SESSION_BUSY:
            raise
        chat.voice.say("the session stays as it is until then: /act, /plan and /approve change it later")


def _settings(arguments: argparse.Namespace, stored: StoredSession | None) -> EngineSettings:
    default_model = _OF_ENDPOINT if arguments.base_url else _ECHO
    if stored is not None:
        default_model = stored.record.model
        if arguments.model not in (None, default_model):
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"session {stored.record.session_id} keeps its model, {default_model}: leave out --model, "
                f"or leave out SESSION to begin another",
            )
    return engine_settings(arguments, store=arguments.store, default_model=default_model)


def _has_unanswered_question(stored: StoredSession) -> bool:
    tree = ConversationTree(stored.messages)
    return tree.unanswered_question(stored.record.active_leaf_id) is not None
