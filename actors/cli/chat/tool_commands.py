"""The commands about tools, and about what goes with a question besides its text."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.chat.chat import Chat
from actors.cli.chat.enclosures import Enclosures, read_image, read_text_file
from actors.cli.chat.open_sessions import short_id
from actors.cli.chat.refused import Refused
from actors.cli.chat.setup import Setup
from actors.cli.chat.tool_listing import mcp_lines, tool_lines
from actors.cli.render_text import image_line
from actors.mcp.protocol import McpHealth
from actors.printable import one_line
from actors.records import ApprovalMode, ChatMode, WorkMode

__all__ = ["act", "approve", "cancel", "drop", "file", "image", "list_tools", "plan", "tell_tools"]


def plan(chat: Chat, _: str) -> bool:
    chat.change(Setup(mode=ChatMode.AGENT, work_mode=WorkMode.PLAN))
    chat.voice.say("plan mode: the model gets only tools that change nothing; /act ends it")
    return True


def act(chat: Chat, _: str) -> bool:
    chat.change(
        Setup(
            mode=ChatMode.AGENT,
            work_mode=WorkMode.ACT,
            directory=chat.sessions.current.setup.directory or chat.setup.directory,
        )
    )
    chat.voice.say("the model may use all its tools; /tools lists them")
    return True


def approve(chat: Chat, argument: str) -> bool:
    if not argument:
        mode = chat.sessions.current.setup.approval_mode or ApprovalMode.DEFAULT
        chat.voice.show(f"{mode}: {_APPROVAL[mode]}")
        return True
    try:
        mode = ApprovalMode(argument)
    except ValueError:
        raise Refused(f"there is no mode {argument!r}; there are {', '.join(ApprovalMode)}") from None
    chat.change(Setup(approval_mode=mode))
    chat.voice.say(_APPROVAL[mode])
    return True


_APPROVAL = {
    ApprovalMode.DEFAULT: "you are asked about the tools that want it",
    ApprovalMode.AUTO: "all tools run without a question",
    ApprovalMode.ALWAYS_ASK: "you are asked about every tool call",
    ApprovalMode.DENY: "no tool runs",
}


def list_tools(chat: Chat, _: str) -> bool:
    healths = chat.ask(chat.engine.mcp_health)
    lines = tool_lines(chat.toolbox.own, healths, chat.sessions.current.setup, _allowed(chat))
    if not lines and not healths:
        chat.voice.show("the model has no tools; --workspace, --tools and --mcp-config give it some")
    for line in (*lines, *mcp_lines(healths)):
        chat.voice.show(line)
    if lines and not chat.sessions.current.has_tools:
        chat.voice.say("this session does not use them: /act has it do so")
    return True


def _allowed(chat: Chat) -> frozenset[str] | None:
    """The tools about which the user has said that they always may; None: all of them."""
    if not chat.sessions.current.is_stored:
        return frozenset()
    record = chat.snapshot().record
    if record.all_approved:
        return None
    return frozenset(name for name, mode in record.tool_modes.items() if mode is ApprovalMode.AUTO)


def tell_tools(chat: Chat) -> None:
    """Say at the beginning which tools there are. MCP servers are waited for, until Ctrl-C is pressed."""
    if chat.toolbox.own:
        names = ", ".join(own.tool.name for own in chat.toolbox.own)
        chat.voice.say(f"tools: {names}")
        if chat.sessions.current.setup.approval_mode is ApprovalMode.DENY:
            chat.voice.say("none of them may be run; /approve default asks you instead")
    if chat.toolbox.mcp_servers:
        for line in mcp_lines(_settled(chat)):
            chat.voice.say(line)
    if chat.sessions.current.setup.work_mode is WorkMode.PLAN:
        chat.voice.say("plan mode: the model gets only tools that change nothing; /act ends it")


def _settled(chat: Chat) -> Sequence[McpHealth]:
    try:
        with chat.interrupts.raising():
            if chat.voice.is_interactive:
                chat.voice.say("waiting for the MCP servers (Ctrl-C does not wait)")
            return chat.ask(chat.engine.mcp_health, settled=True)
    except KeyboardInterrupt:
        return chat.ask(chat.engine.mcp_health)


def cancel(chat: Chat, argument: str) -> bool:
    session = chat.sessions.at(argument) if argument else chat.sessions.current
    name = short_id(session.session_id)
    stopped = chat.ask(chat.engine.cancel_tool_calls, session.session_id) if session.is_stored else ()
    if not stopped:
        raise Refused(f"no tool runs in session {name}")
    count = len(stopped)
    chat.voice.say(
        f"stopped {count} tool call{'' if count == 1 else 's'} in session {name}; the turn goes on"
    )
    return True


def image(chat: Chat, argument: str) -> bool:
    picture = read_image(argument)
    chat.enclosed = chat.enclosed.with_image(picture)
    chat.voice.say(f"with the next question: {image_line(picture)}")
    return True


def file(chat: Chat, argument: str) -> bool:
    attachment = read_text_file(argument)
    chat.enclosed = chat.enclosed.with_attachment(attachment)
    chat.voice.say(f"with the next question: the file {one_line(attachment.file_name)}")
    return True


def drop(chat: Chat, _: str) -> bool:
    if not chat.enclosed:
        raise Refused("nothing goes with the next question yet; /image and /file add something")
    chat.enclosed = Enclosures()
    chat.voice.say("nothing goes with the next question")
    return True
