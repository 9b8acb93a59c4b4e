"""The tables of words are total, and say what the documents say."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import get_args

import pytest

from actors.conversation import Content, MessageState, Role, ToolStatus
from actors.groups import NodeStatus
from actors.projections.message_kinds import ROW_ROLE, ROW_TYPE
from actors.projections.statuses import (
    CHAT_STATUS,
    NODE_STATUS_OF_CALL,
    NODE_STATUS_OF_MESSAGE,
    NODE_STATUS_OF_RESULT,
    NODE_STATUS_OF_TASK,
    VIEW_STATUS,
    WIRE_STATE,
    is_generating,
)
from actors.records import CallState, SessionStatus

TABLES: list[tuple[Collection[StrEnum], type[StrEnum]]] = [
    (VIEW_STATUS, SessionStatus),
    (WIRE_STATE, SessionStatus),
    (CHAT_STATUS, SessionStatus),
    (NODE_STATUS_OF_TASK, SessionStatus),
    (NODE_STATUS_OF_CALL, CallState),
    (NODE_STATUS_OF_RESULT, ToolStatus),
    (NODE_STATUS_OF_MESSAGE, MessageState),
    (ROW_ROLE, Role),
]


@pytest.mark.parametrize(("table", "words"), TABLES)
def test_every_word_has_its_counterpart(table: Collection[StrEnum], words: type[StrEnum]) -> None:
    assert set(table) == set(words)


def test_every_kind_of_message_has_a_row_type() -> None:
    assert set(ROW_TYPE) == set(get_args(Content))
    assert set(ROW_TYPE.values()) == {"text", "tool", "status", "artifact"}


def test_the_words_of_each_document_are_its_own() -> None:
    assert set(VIEW_STATUS.values()) == {"idle", "queued", "running", "completed", "failed", "aborted"}
    assert set(WIRE_STATE.values()) == {"IDLE", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
    assert set(CHAT_STATUS.values()) == {"idle", "processing", "waiting_confirmation", "max_turns_reached"}
    assert set(ROW_ROLE.values()) == {"user", "agent", "system"}


def test_one_abort_has_three_spellings() -> None:
    assert VIEW_STATUS[SessionStatus.ABORTED] == "aborted"
    assert WIRE_STATE[SessionStatus.ABORTED] == "CANCELLED"
    assert NODE_STATUS_OF_TASK[SessionStatus.ABORTED] == "cancelled"
    assert NODE_STATUS_OF_CALL[CallState.CANCELLED] is NodeStatus.CANCELLED


@pytest.mark.parametrize(
    ("status", "button"),
    [
        (SessionStatus.IDLE, "Send"),
        (SessionStatus.QUEUED, "Stop"),
        (SessionStatus.RUNNING, "Stop"),
        (SessionStatus.WAITING_CONFIRMATION, "Send"),
        (SessionStatus.COMPLETED, "Send"),
        (SessionStatus.FAILED, "Send"),
        (SessionStatus.ABORTED, "Send"),
        (SessionStatus.MAX_TURNS_REACHED, "Send"),
    ],
)
def test_the_button_says_stop_while_an_answer_is_on_its_way(status: SessionStatus, button: str) -> None:
    assert ("Stop" if is_generating(status) else "Send") == button
