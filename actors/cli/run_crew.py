"""Does the work of a run: takes its sessions one after the other, as many at a time as may run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import msgspec
import trio

from actors.cli.run_notices import RunNotices
from actors.cli.run_plan import RunPlan, SessionPlan
from actors.cli.run_progress import show_progress
from actors.cli.run_summary import RunTally
from actors.cli.run_watch import watch_connections
from actors.cli.turn_log import TurnLog, TurnRecord
from actors.engine import Engine
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.outcomes import stored_outcomes
from actors.records import SessionStatus
from actors.session.protocol import NewSession
from actors.tree import ConversationTree

__all__ = ["RunCrew"]


class RunCrew:
    """Works through a plan until nothing is left or a signal comes.

    A session that fails, however it does, ends its own turns only. `tally` counts, and the log gets every
    turn that ended.
    """

    def __init__(
        self,
        engine: Engine,
        plan: RunPlan,
        new_session: NewSession,
        log: TurnLog | None,
        notices: RunNotices,
    ) -> None:
        """`new_session` is what sessions begin with."""
        self.tally = RunTally(sessions=len(plan.sessions), turns=plan.turns)
        self.output_is_whole = True
        self._engine = engine
        self._plan = plan
        self._new_session = new_session
        self._log = log
        self._notices = notices
        self._busy: dict[str, None] = {}
        self._stopping = False

    def events(self) -> int:
        """What was streamed so far: over HTTP event by event, in process by the turns that ended."""
        traffic = self._engine.traffic()
        return traffic.events if traffic.calls else self.tally.parts

    def calls(self) -> int:
        """Model calls so far, those that were made again counted as well."""
        return self._engine.traffic().calls or self.tally.asked

    async def work(self, workers: int, on_signal: Callable[[Callable[[], object] | None], None]) -> None:
        """Return when every turn has ended, or when a signal has stopped those that ran.

        `on_signal` takes what is to be called for each signal: the first aborts what runs, so that it ends
        with its partial answer kept; a second one no longer waits for that.
        """
        async with trio.open_nursery() as nursery:

            def stop() -> None:
                if self._stopping:
                    nursery.cancel_scope.cancel()
                else:
                    self._stopping = True
                    nursery.start_soon(self._abort_all)

            on_signal(stop)
            nursery.start_soon(show_progress, self.tally, self.events, self._notices)
            nursery.start_soon(watch_connections, self._engine.connection_status, self._notices.warn)
            todo = iter(await self._remaining())
            async with trio.open_nursery() as sessions:
                for _ in range(workers):
                    sessions.start_soon(self._work, todo)
            nursery.cancel_scope.cancel()
        on_signal(None)
        if self._log is not None:
            try:
                self._log.tidy()
            except EngineError as error:
                self._give_up_log(error)

    async def _abort_all(self) -> None:
        self._notices.warn(
            "stopping: what runs is aborted and saved (a second Ctrl-C does not wait for that)"
        )
        async with trio.open_nursery() as nursery:
            for session_id in tuple(self._busy):
                nursery.start_soon(self._abort, session_id)

    async def _abort(self, session_id: str) -> None:
        with contextlib.suppress(EngineError):  # a session that just failed has nothing to abort
            await self._engine.abort_turn(session_id)

    # --- what is left to do -------------------------------------------------------------------------

    async def _remaining(self) -> list[SessionPlan]:
        """The sessions with turns to run. Counts, and logs if need be, what an earlier run completed."""
        if not self._plan.resumed:
            return list(self._plan.sessions)
        recalled = [await self._recall(session) for session in self._plan.sessions]
        return [session for session in recalled if session.done < len(session.texts)]

    async def _recall(self, session: SessionPlan) -> SessionPlan:
        try:
            stored = await self._engine.read_session(session.session_id)
        except EngineError as error:
            if error.code is ErrorCode.SESSION_NOT_FOUND:
                return session
            return msgspec.structs.replace(session, obstacle=error.info)
        branch = ConversationTree(stored.messages).branch(stored.record.active_leaf_id)
        outcomes = list(stored_outcomes(session.session_id, branch))
        session = session.after(outcomes)
        self.tally.completed_before += session.done
        for turn_index, outcome in enumerate(outcomes[: session.done]):
            if self._log is not None and not self._log.has_completed(session.session_id, turn_index):
                self._log_turn(turn_index, outcome)
        return session

    # --- doing it -----------------------------------------------------------------------------------

    async def _work(self, todo: Iterator[SessionPlan]) -> None:
        for session in todo:
            if self._stopping:
                return
            self._busy[session.session_id] = None
            self.tally.running += 1
            try:
                await self._run_session(session)
            finally:
                self.tally.running -= 1
                del self._busy[session.session_id]

    async def _run_session(self, session: SessionPlan) -> None:
        if session.obstacle is not None:
            self._refused(session, session.done, session.obstacle)
            return
        for turn_index in range(session.done, len(session.texts)):
            if self._stopping:
                return  # the engine releases everything when it closes
            try:
                outcome = await self._run_turn(session, turn_index)
            except EngineError as error:
                if error.code is not ErrorCode.ABORTED:  # stopped before anything of it was stored
                    self._refused(session, turn_index, error.info)
                break
            if outcome.status is SessionStatus.ABORTED and not self._stopping:
                outcome = _crashed(outcome)
            self._ended(turn_index, outcome)
            if outcome.status is not SessionStatus.COMPLETED:
                break  # the next question builds on this answer
        with contextlib.suppress(EngineError):  # a session that failed is not loaded any more
            await self._engine.release_session(session.session_id)

    async def _run_turn(self, session: SessionPlan, turn_index: int) -> TaskOutcome:
        session_id = session.session_id
        if not session.exists and turn_index == 0:
            await self._engine.create_session(self._new_session, session_id=session_id)
        if session.asked and turn_index == session.done:
            task_id = await self._engine.resume_turn(session_id)
        else:
            task_id = await self._engine.submit_turn(session_id, session.texts[turn_index])
        if self._stopping:  # the signal came while the question was on its way
            await self._engine.abort_turn(session_id)
        return await self._engine.wait_turn(session_id, task_id)

    # --- what came of it ----------------------------------------------------------------------------

    def _refused(self, session: SessionPlan, turn_index: int, error: ErrorInfo) -> None:
        """A turn that failed without an outcome, for example because its question could not be stored."""
        outcome = TaskOutcome(
            session_id=session.session_id,
            task_id="",
            status=SessionStatus.FAILED,
            prompt=session.texts[turn_index],
            error=error,
        )
        self._ended(turn_index, outcome)

    def _ended(self, turn_index: int, outcome: TaskOutcome) -> None:
        self.tally.add(outcome)
        self._log_turn(turn_index, outcome)

    def _log_turn(self, turn_index: int, outcome: TaskOutcome) -> None:
        if self._log is not None:
            try:
                self._log.add(TurnRecord.of(turn_index, outcome))
            except EngineError as error:
                self._give_up_log(error)

    def _give_up_log(self, error: EngineError) -> None:
        """The conversations are in the store, so the run goes on without its output."""
        self._log = None
        self.output_is_whole = False
        self._notices.warn(f"{error.message}: the run goes on, and --resume writes what is missing there")


def _crashed(outcome: TaskOutcome) -> TaskOutcome:
    """The outcome of a turn that ended as if it had been stopped, while nobody but the crew stops turns.

    Its session crashed before anybody waited for the turn, and was loaded again to say how it ended.
    """
    error = ErrorInfo(ErrorCode.EXECUTION_FAILED, "the session crashed; what it had answered is kept")
    return msgspec.structs.replace(outcome, status=SessionStatus.FAILED, error=error)
