"""The names of chat files, and of the folders of tasks."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = [
    "CHAT_SUFFIX",
    "conflict_copy_path",
    "generate_new_chat_file_path",
    "generate_new_task_folder_path",
    "get_next_chat_number",
]

CHAT_SUFFIX = ".chat.json"

_chat = re.compile(r"chat([0-9]{1,9})\.chat\.json")
_task = re.compile(r"task([0-9]{1,9})")


def get_next_chat_number(folder_path: str) -> int:
    """One more than the highest `chatN.chat.json` in the folder has. Raises OSError."""
    return _next_number(folder_path, _chat)


def generate_new_chat_file_path(target_directory: str) -> str:
    """Where the next chat of a folder goes; nothing is made there. Raises OSError.

    Somebody else may take the name first: whoever makes the file must do so exclusively, and ask again.
    """
    return str(Path(target_directory, f"chat{get_next_chat_number(target_directory)}{CHAT_SUFFIX}"))


def generate_new_task_folder_path(target_directory: str) -> str:
    """The same for the folder of a new task."""
    return str(Path(target_directory, f"task{_next_number(target_directory, _task)}"))


def conflict_copy_path(path: Path) -> Path:
    """Where our version of a file goes if somebody else changed it: `NAME.conflict-N.chat.json`."""
    name = path.name.removesuffix(CHAT_SUFFIX)
    copies = re.compile(re.escape(name) + r"\.conflict-([0-9]{1,9})" + re.escape(CHAT_SUFFIX))
    number = _next_number(str(path.parent), copies)
    return path.with_name(f"{name}.conflict-{number}{CHAT_SUFFIX}")


def _next_number(folder: str, pattern: re.Pattern[str]) -> int:
    with os.scandir(folder) as entries:
        found = (pattern.fullmatch(entry.name) for entry in entries)
        return 1 + max((int(match[1]) for match in found if match), default=0)
