"""The commands about what was said: messages and branches of the current session."""

from __future__ import annotations

import functools
import shlex

from actors.cli.chat.chat import Chat
from actors.cli.chat.listings import branch_lines, show_history
from actors.cli.chat.numbering import answer_at, branch_at, count, last_of, message_at, question_at
from actors.cli.chat.refused import Refused
from actors.conversation import Role, Text
from actors.tree import ConversationTree

__all__ = [
    "HISTORY_LENGTH",
    "delete",
    "edit",
    "edit_in_place",
    "glance",
    "history",
    "list_branches",
    "rerun",
    "retry",
    "switch",
]

HISTORY_LENGTH = 20
_GLANCE_LENGTH = 2


def history(chat: Chat, argument: str) -> bool:
    take = count(argument) if argument else HISTORY_LENGTH
    show_history(chat.voice.screen, chat.snapshot(), take)
    return True


def retry(chat: Chat, argument: str) -> bool:
    if not chat.sessions.current.is_stored:
        raise Refused("there is no question yet")
    snapshot = chat.snapshot()
    tree = ConversationTree(snapshot.messages)
    if not argument and (
        tree.unanswered_question(snapshot.record.active_leaf_id) is not None
        or last_of(Role.ASSISTANT, snapshot.branch) is None
    ):
        return chat.take_turn(chat.engine.resume_turn)
    answer = answer_at(snapshot.branch, argument)
    return chat.take_turn(functools.partial(chat.engine.retry_answer, message_id=answer.message_id))


def edit(chat: Chat, argument: str) -> bool:
    message_id, text = _rewritten(chat, "/edit", argument)
    edit = functools.partial(chat.engine.edit_message, message_id=message_id, text=text, rerun=True)

    async def begin(session_id: str) -> str:
        task_id = await edit(session_id)
        assert task_id is not None, "an edit that is asked begins a task"
        return task_id

    return chat.take_turn(begin)


def edit_in_place(chat: Chat, argument: str) -> bool:
    message_id, text = _rewritten(chat, "/edit!", argument)
    chat.ask(chat.engine.edit_message, chat.session_id, message_id, text)
    chat.voice.say("the question has its new text; its answer is the old one")
    return True


def _rewritten(chat: Chat, command: str, argument: str) -> tuple[str, str]:
    """The id of a question, and the text that the user writes for it."""
    # A pipe has the text in its next line, which must not become a message when it is refused.
    text = None if chat.voice.is_interactive else chat.reader.read("")
    branch = chat.snapshot().branch
    if argument and not argument.removeprefix("#").isdecimal():
        raise Refused(f"{command} takes a number: {command} [N], then the new text on the next line")
    question = question_at(branch, argument)
    if chat.voice.is_interactive:
        before = question.content.text if isinstance(question.content, Text) else ""
        text = chat.reader.read("new text> ", before)
    if text is None or not text.strip():
        raise Refused("there is no new text: the question stays as it is")
    return question.message_id, text


def delete(chat: Chat, argument: str) -> bool:
    snapshot = chat.snapshot()
    message = message_at(snapshot.branch, argument)
    gone = chat.ask(chat.engine.delete_message, chat.session_id, message.message_id)
    answered = {
        one.task_id
        for one in snapshot.messages
        if one.role is Role.ASSISTANT and one.message_id not in gone
    }
    deleted = {one.task_id for one in snapshot.messages if one.message_id in gone and one.task_id}
    chat.background.forget(task_id for task_id in deleted if task_id not in answered)
    chat.voice.say(f"deleted {len(gone)} message{'s' if len(gone) > 1 else ''}")
    return True


def rerun(chat: Chat, argument: str) -> bool:
    chat.snapshot()
    rerun = functools.partial(chat.engine.rerun, input_data=_values(argument))
    return chat.take_turn(rerun, asks_again=True)


def _values(argument: str) -> dict[str, str]:
    try:
        words = shlex.split(argument)
    except ValueError as error:
        raise Refused(f"a quotation mark has no other: {str(error).lower()}") from None
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise Refused(f'{word!r} is not of the form name=value, or name="several words"')
        values[name] = value
    return values


def list_branches(chat: Chat, _: str) -> bool:
    for line in branch_lines(chat.snapshot()):
        chat.voice.show(line)
    return True


def switch(chat: Chat, argument: str) -> bool:
    branch = branch_at(chat.snapshot(), argument)
    if not branch.is_visible:
        chat.ask(chat.engine.switch_branch, chat.session_id, branch.leaf_id)
    glance(chat)
    return True


def glance(chat: Chat) -> None:
    """Remind a person of where the conversation stands; a script asks for the history if it wants it."""
    if chat.voice.is_interactive:
        show_history(chat.voice.screen, chat.snapshot(), _GLANCE_LENGTH)
