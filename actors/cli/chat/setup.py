"""How a session of the chat answers: with or without tools, by which rules and settings."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from actors.cli.chat.toolbox import Toolbox
from actors.model_settings import ModelSettings
from actors.records import ApprovalMode, ChatMode, SessionRecord, WorkMode
from actors.session.protocol import NewSession, SessionChanges

__all__ = ["Setup", "add_setup_options"]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """`None` is left as it is: at a session that is there, what it has, else what is usual."""

    mode: ChatMode | None = None
    work_mode: WorkMode | None = None
    approval_mode: ApprovalMode | None = None
    directory: str | None = None
    settings: ModelSettings = ModelSettings()

    @classmethod
    def asked(cls, arguments: argparse.Namespace, toolbox: Toolbox, settings: ModelSettings) -> Setup:
        """What the command line asks for. Who has tools, or is to plan, is an agent."""
        return cls(
            mode=ChatMode.AGENT if toolbox or arguments.plan else None,
            work_mode=WorkMode.PLAN if arguments.plan else None,
            approval_mode=None if arguments.approve is None else ApprovalMode(arguments.approve),
            directory=toolbox.directory or None,
            settings=settings,
        )

    @classmethod
    def of(cls, record: SessionRecord) -> Setup:
        """How a stored session answers."""
        return cls(
            mode=record.mode,
            work_mode=record.work_mode,
            approval_mode=record.approval_mode,
            directory=record.directory,
            settings=record.settings,
        )

    def over(self, before: Setup) -> Setup:
        """This, and what was before where this says nothing."""
        given = {**self._given(), "settings": self.settings.over(before.settings)}
        return msgspec.structs.replace(before, **given)

    def new_session(self, title: str, model: str) -> NewSession:
        return NewSession(title=title, model=model, **self._given())

    def changes(self, before: Setup) -> SessionChanges | None:
        """What is to be changed at a session that answers so far as `before`; None: nothing."""
        told = before._given()
        changed = {
            name: value for name, value in self.over(before)._given().items() if told.get(name) != value
        }
        return SessionChanges(**changed) if changed else None

    def _given(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not None}


def add_setup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--approve",
        choices=[mode.value for mode in ApprovalMode],
        help="which tool calls you are asked about: default (those of tools that ask), auto (none), "
        "always_ask (all), or deny (no tool runs)",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="plan mode: the model gets only tools that change nothing, and is to make a plan",
    )
