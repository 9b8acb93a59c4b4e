"""The child task that runs one model call and tells its session what comes of it."""

from __future__ import annotations

from collections.abc import Callable

from actors.conversation import Part
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.models.base import LanguageModel, ModelRequest
from actors.session.protocol import PartsArrived, TurnEnded
from runtime import get_logger

__all__ = ["call_model"]

_log = get_logger("session")


async def call_model(
    model: LanguageModel,
    request: ModelRequest,
    task_id: str,
    tell: Callable[[PartsArrived | TurnEnded], None],
) -> None:
    """Stream one answer. Ends with exactly one `TurnEnded`, unless it is cancelled: then with none."""

    def emit(parts: tuple[Part, ...]) -> None:
        tell(PartsArrived(task_id, parts))

    error: ErrorInfo | None = None
    try:
        await model.stream(request, emit)
    except EngineError as failure:
        error = failure.info
    except Exception as failure:  # noqa: BLE001 - translation edge: an adapter may raise anything
        _log.exception("model failed", model=model.name, task_id=task_id)
        error = ErrorInfo(
            ErrorCode.EXECUTION_FAILED, f"the model {model.name} failed: {type(failure).__name__}"
        )
    tell(TurnEnded(task_id, error))
