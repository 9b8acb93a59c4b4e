"""The child task that runs one model call and tells its session what comes of it."""

from __future__ import annotations

from collections.abc import Callable

from actors.conversation import Part
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.governor import Admission
from actors.models.base import LanguageModel, ModelRequest
from actors.session.protocol import CallDelayed, PartsArrived, TurnEnded
from actors.session.storable import storable_error, storable_parts
from runtime import get_logger

__all__ = ["ModelCall"]

_log = get_logger("session")


class ModelCall:
    """One call of a model, in its session's thread.

    At most one `PartsArrived` of it is in the session's mailbox: what comes meanwhile grows into the next
    one. So a busy session takes fewer and larger pieces, and a flood of parts floods no mailbox.

    With an `admission` the call begins when its connection lets it, and is made again where it failed
    before its first part.

    What the model says after its end is not heard: the next call of the same turn may be under way.
    """

    __slots__ = ("_admission", "_over", "_pending", "_request", "_tell", "_told", "model", "task_id")

    def __init__(
        self,
        model: LanguageModel,
        request: ModelRequest,
        task_id: str,
        tell: Callable[[PartsArrived | CallDelayed | TurnEnded], None],
        admission: Admission | None = None,
    ) -> None:
        self.model = model
        self._request = request
        self.task_id = task_id
        self._tell = tell
        self._admission = admission
        self._told = False
        self._over = False
        self._pending: list[Part] = []

    async def run(self) -> None:
        """Stream one answer. Ends with exactly one `TurnEnded`, unless it is cancelled: then with none."""
        error: ErrorInfo | None = None
        try:
            if self._admission is None:
                await self._stream()
            else:
                await self._admission.run(self._stream, self._tell_delayed)
        except EngineError as failure:
            error = storable_error(failure.info)
        except Exception as failure:  # noqa: BLE001 - translation edge: an adapter may raise anything
            _log.exception("model failed", model=self.model.name, task_id=self.task_id)
            error = ErrorInfo(
                ErrorCode.EXECUTION_FAILED, f"the model {self.model.name} failed: {type(failure).__name__}"
            )
        finally:
            self._over = True
        if self._pending:
            self._tell_pending()
        self._tell(TurnEnded(self.task_id, error))

    async def _stream(self) -> None:
        await self.model.stream(self._request, self._emit)

    def taken(self) -> None:
        """The session has handled the parts that it was told last."""
        if self._pending:
            self._tell_pending()
        else:
            self._told = False

    def _emit(self, parts: tuple[Part, ...]) -> None:
        if self._over:
            return
        if self._admission is not None:
            self._admission.answered()
            self._admission = None
        parts = storable_parts(parts)
        if self._told:
            self._pending += parts
        else:
            self._told = True
            self._tell(PartsArrived(self.task_id, parts))

    def _tell_delayed(self, attempt: int, error: ErrorInfo, retry_after_seconds: float) -> None:
        self._tell(CallDelayed(self.task_id, attempt, storable_error(error), retry_after_seconds))

    def _tell_pending(self) -> None:
        parts, self._pending = tuple(self._pending), []
        self._tell(PartsArrived(self.task_id, parts))
