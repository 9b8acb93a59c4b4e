"""What can be said to the chat itself: the commands, in the order in which `/help` shows them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.cli.chat.chat import Chat
from actors.cli.chat.message_commands import (
    HISTORY_LENGTH,
    delete,
    edit,
    edit_in_place,
    history,
    list_branches,
    rerun,
    retry,
    switch,
)
from actors.cli.chat.refused import Refused
from actors.cli.chat.session_commands import (
    ask_in_background,
    export,
    export_over,
    go,
    list_sessions,
    new,
    stop,
    title,
    wait,
)
from actors.cli.chat.tool_commands import act, approve, cancel, drop, file, image, list_tools, plan

__all__ = ["COMMANDS", "Command"]

_NEW_TEXT = "/edit and /edit! take the new text from the next line, in a pipe too"
_FILES = '@path, @path:12-40 and @"a path" in a message send files of the --workspace with it'
_KEYS = "Ctrl-C stops an answer; at the prompt it ends the chat, as Ctrl-D does"


class Command(msgspec.Struct, frozen=True):
    """`takes` is shown behind the name; what stands in brackets may be left out.

    `obey` gives False when something of it did not complete, and raises `Refused` or `EngineError`.
    """

    name: str
    takes: str
    does: str
    obey: Callable[[Chat, str], bool]

    def check(self, argument: str) -> None:
        """
        Raises:
            Refused: there is an argument too many, or one is missing.
        """
        if argument and not self.takes:
            raise Refused(f"{self.name} takes nothing behind it")
        if not argument and self.takes and not self.takes.startswith("["):
            raise Refused(f"something is missing: {self.name} {self.takes}")


def _help(chat: Chat, _: str) -> bool:
    usages = [f"{command.name} {command.takes}".rstrip() for command in COMMANDS.values()]
    width = max(map(len, usages))
    for usage, command in zip(usages, COMMANDS.values(), strict=True):
        chat.voice.show(f"{usage:{width}}  {command.does}")
    chat.voice.show(_NEW_TEXT)
    chat.voice.show(_FILES)
    chat.voice.show(_KEYS)
    return True


def _quit(chat: Chat, _: str) -> bool:
    chat.is_over = True
    return True


COMMANDS = {
    command.name: command
    for command in (
        Command("/history", "[N]", f"the last N messages, {HISTORY_LENGTH}, with their numbers", history),
        Command("/retry", "[N]", "another answer beside answer N, or beside the last one", retry),
        Command("/edit", "[N]", "ask question N, or the last one, in other words: on a new branch", edit),
        Command("/edit!", "[N]", "write question N anew in its place, and ask nothing", edit_in_place),
        Command("/delete", "N", "remove question N with its answers, or answer N", delete),
        Command("/rerun", "[NAME=VALUE ...]", "ask all questions again, with values for {{NAME}}", rerun),
        Command("/branches", "", "the branches of the conversation", list_branches),
        Command("/switch", "N", "go on with branch N", switch),
        Command("/new", "[TITLE]", "begin another session", new),
        Command("/title", "[TEXT]", "name this session, or show its name", title),
        Command("/sessions", "", "the sessions of this chat, with what is unread", list_sessions),
        Command("/go", "N|ID", "go to session N, or to one of the store", go),
        Command("/bg", "TEXT", "ask, and do not wait for the answer", ask_in_background),
        Command("/wait", "", "show the answer that was not waited for", wait),
        Command("/stop", "[N]", "stop the answer in session N, or in this one", stop),
        Command("/plan", "", "from now on the model may only look around, and is to make a plan", plan),
        Command("/act", "", "from now on it may use all its tools", act),
        Command("/tools", "", "its tools: where they are from, whether you are asked first", list_tools),
        Command(
            "/approve", "[MODE]", "default, auto, always_ask or deny: which calls you are asked", approve
        ),
        Command("/cancel", "[N]", "stop the tools that run in session N, or in this one", cancel),
        Command("/image", "PATH", "send this image with the next question", image),
        Command("/file", "PATH", "send this text file with the next question", file),
        Command("/drop", "", "send neither", drop),
        Command("/export", "FILE", "write this session to a Markdown file", export),
        Command("/export!", "FILE", "also over a file that exists", export_over),
        Command(
            "/quit", "", "end; everything is saved. In a terminal, what still answers is stopped", _quit
        ),
        Command("/help", "", "this", _help),
    )
}
