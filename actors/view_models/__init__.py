"""What a user interface shows, folded from snapshots and events. Nothing here is drawn, sent or stored."""

from __future__ import annotations

from actors.view_models.notices import finished_notice, status_line
from actors.view_models.plain_text import chat_text
from actors.view_models.registry_view_model import RegistryViewModel
from actors.view_models.session_view_model import Applied, SessionViewModel

__all__ = [
    "Applied",
    "RegistryViewModel",
    "SessionViewModel",
    "chat_text",
    "finished_notice",
    "status_line",
]
