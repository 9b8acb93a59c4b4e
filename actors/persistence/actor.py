"""The persistence actor: the only one that touches the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, assert_never

import msgspec
import trio

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.persistence.protocol import (
    ChatOpened,
    ChatRefused,
    CreateChatFile,
    Flush,
    ForkChatFile,
    GetFileStatus,
    GetLatestRun,
    ListSessions,
    LoadFailed,
    LoadSession,
    OpenChatFile,
    PutRun,
    ReadSession,
    RemoveSession,
    Save,
    SessionDeleted,
    SessionLoaded,
)
from actors.persistence.state import Commit, Effect, Notify, PersistenceState, Settled, WakeAfter
from actors.records import SessionWrite
from actors.stores.base import ChatFiles, Store
from actors.stores.chat_file import ChatFileStore
from actors.stores.file_first import FileFirstStore
from runtime import ChildTask, TrioActor, get_logger, handles

__all__ = ["PersistenceActor"]

_log = get_logger("persistence")

T = TypeVar("T")


class _Committed(msgspec.Struct, frozen=True, tag=True):
    verdicts: tuple[ErrorInfo | None, ...]


class _CommitFailed(msgspec.Struct, frozen=True, tag=True):
    error: ErrorInfo


class _Woken(msgspec.Struct, frozen=True, tag=True):
    timer: int


class PersistenceActor(TrioActor):
    """Owns the store: throttles and groups writes, acknowledges them after the commit.

    A store that may block is used in a thread, one call at a time; while one batch is being committed the
    next one grows. When the actor stops, what waits is committed once more, and the store is closed.

    Chat files are those of a `FileFirstStore`; with any other store every file is refused.
    """

    expected_errors = (EngineError,)

    def __init__(self, store: Store, *, throttle_seconds: float) -> None:
        super().__init__()
        self._store = store
        self._chat_files: ChatFiles = store if isinstance(store, FileFirstStore) else ChatFileStore()
        self._state = PersistenceState(throttle_seconds=throttle_seconds)
        # A limiter of its own: nobody else's busy threads keep the store waiting.
        self._limiter = trio.CapacityLimiter(1)
        self._timer_number = 0
        self._timer: ChildTask | None = None
        self._flush_number = 0
        self._when_settled: dict[int, Callable[[], object]] = {}

    @handles(Save)
    def save(self, message: Save) -> None:
        self._perform(self._state.decide_save(message, trio.current_time()))

    @handles(Flush)
    def flush(self, _: Flush) -> None:
        reply = self.defer()
        number = self._number_flush(_do_nothing if reply is None else reply.set)
        self._perform(self._state.decide_flush(number, trio.current_time()))

    def _number_flush(self, when_settled: Callable[[], object]) -> int:
        self._flush_number += 1
        self._when_settled[self._flush_number] = when_settled
        return self._flush_number

    @handles(LoadSession)
    def load(self, message: LoadSession) -> None:
        def answer(outcome: Any) -> None:
            if isinstance(outcome, ErrorInfo):
                notice = LoadFailed(message.session_id, outcome)
            else:
                notice = SessionLoaded(outcome)
            self.send(self.system.find(message.reply_to), notice)

        # What a former incarnation left waiting comes first, or it would find its epoch taken.
        session_id = message.session_id
        number = self._number_flush(lambda: self._call(lambda: self._store.load(session_id), answer))
        self._perform(self._state.decide_flush_session(number, session_id, trio.current_time()))

    @handles(RemoveSession)
    def remove(self, message: RemoveSession) -> None:
        session_id = message.session_id

        def answer(outcome: Any) -> None:
            error = outcome if isinstance(outcome, ErrorInfo) else None
            self.send(self.system.find(message.reply_to), SessionDeleted(session_id, error))

        number = self._number_flush(lambda: self._call(lambda: self._store.delete(session_id), answer))
        self._perform(self._state.decide_remove(number, session_id, trio.current_time()))

    @handles(OpenChatFile)
    def open_chat_file(self, message: OpenChatFile) -> None:
        def answer(outcome: Any) -> None:
            if isinstance(outcome, ErrorInfo):
                notice = ChatRefused(message.path, outcome)
            else:
                notice = ChatOpened(message.path, outcome)
            self.send(self.system.find(message.reply_to), notice)

        self._call(lambda: self._chat_files.open(message.path), answer)

    @handles(CreateChatFile)
    def create_chat_file(self, message: CreateChatFile) -> None:
        self._answer_by(
            lambda: self._chat_files.create(message.directory, message.record, new_task=message.new_task)
        )

    @handles(ForkChatFile)
    def fork_chat_file(self, message: ForkChatFile) -> None:
        self._answer_by(lambda: self._chat_files.fork(message.path))

    @handles(GetFileStatus)
    def file_status(self, message: GetFileStatus) -> None:
        self._answer_by(lambda: self._chat_files.file_status(message.session_id))

    @handles(ReadSession)
    def read(self, message: ReadSession) -> None:
        self._answer_by(lambda: self._store.read(message.session_id))

    @handles(ListSessions)
    def list_sessions(self, _: ListSessions) -> None:
        self._answer_by(self._store.list_sessions)

    @handles(PutRun)
    def put_run(self, message: PutRun) -> None:
        self._answer_by(lambda: self._store.put_run(message.run))

    @handles(GetLatestRun)
    def latest_run(self, _: GetLatestRun) -> None:
        self._answer_by(self._store.latest_run)

    @handles(_Committed)
    def committed(self, message: _Committed) -> None:
        self._perform(self._state.decide_committed(message.verdicts, trio.current_time()))

    @handles(_CommitFailed)
    def commit_failed(self, message: _CommitFailed) -> None:
        self._perform(self._state.decide_commit_failed(message.error, trio.current_time()))

    @handles(_Woken)
    def woken(self, message: _Woken) -> None:
        if message.timer == self._timer_number:
            self._timer = None
            self._perform(self._state.decide_woken(trio.current_time()))

    async def on_stop(self) -> None:
        await self._where_it_may_block(self._close)

    async def on_failure(self, *_: object, **__: object) -> None:
        # What waits is not committed: a state that has just failed is not to be trusted.
        await self._where_it_may_block(self._store.close)

    def _close(self) -> None:
        rest = self._state.take_rest()
        try:
            outcome = _outcome_of(lambda: self._store.commit(rest)) if rest else None
            if isinstance(outcome, ErrorInfo):
                _log.error("writes lost at the end", writes=len(rest), reason=outcome.message)
        finally:
            self._store.close()

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Commit(writes):
                    self._commit(writes)
                case WakeAfter(seconds):
                    self._wake_after(seconds)
                case Notify(name, notice):
                    self.send(self.system.find(name), notice)
                case Settled(number):
                    self._when_settled.pop(number)()
                case _:
                    assert_never(effect)

    def _commit(self, writes: tuple[SessionWrite, ...]) -> None:
        def report(outcome: Any) -> None:
            message = _CommitFailed(outcome) if isinstance(outcome, ErrorInfo) else _Committed(outcome)
            self.send(self.actor_ref, message)

        self._call(lambda: self._store.commit(writes), report)

    def _wake_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_number += 1
        self._timer = self.spawn(self._tell_later, _Woken(self._timer_number), seconds)

    async def _tell_later(self, message: _Woken, seconds: float) -> None:
        await trio.sleep(seconds)
        self.actor_ref.tell(message)

    def _answer_by(self, call: Callable[[], object]) -> None:
        reply = self.defer()

        def answer(outcome: Any) -> None:
            if reply is None:
                return
            if isinstance(outcome, ErrorInfo):
                error = outcome.to_exception()
                reply.set_exception((EngineError, error, None))
            else:
                reply.set(outcome)

        self._call(call, answer)

    def _call(self, call: Callable[[], object], report: Callable[[Any], None]) -> None:
        """Call the store, and report its result or the `ErrorInfo` of its `EngineError`."""
        if self._store.blocking:
            self.spawn(self._call_in_thread, call, report)
        else:
            report(_outcome_of(call))

    async def _call_in_thread(self, call: Callable[[], object], report: Callable[[Any], None]) -> None:
        # Shielded: a transaction that has begun is seen to its end, also when the actor is stopping.
        with trio.CancelScope(shield=True):
            report(await self._in_store_thread(lambda: _outcome_of(call)))

    async def _where_it_may_block(self, call: Callable[[], T]) -> T:
        return await self._in_store_thread(call) if self._store.blocking else call()

    async def _in_store_thread(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, limiter=self._limiter)


def _outcome_of(call: Callable[[], object]) -> object:
    try:
        return call()
    except EngineError as error:
        return error.info
    except Exception as error:  # noqa: BLE001 - translation edge: a medium may fail in ways nobody foresaw
        _log.exception("store failed")
        return ErrorInfo(ErrorCode.PERSISTENCE_FAILED, f"the store failed: {type(error).__name__}")


def _do_nothing() -> None:
    pass
