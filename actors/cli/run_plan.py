"""Which session of a run is to say what, and what of it an earlier run has done. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from actors.cli.prompts import Prompts
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import RunRecord, SessionStatus

__all__ = ["RunPlan", "SessionPlan", "new_plan", "resumed_plan"]


class SessionPlan(msgspec.Struct, frozen=True):
    """The questions of one session, in order, and how far it is.

    `done` questions are answered; `asked` says that the next one is stored without a complete answer, and
    `obstacle` why it cannot be asked. `exists` says that the store has the session.
    """

    session_id: str
    texts: tuple[str, ...]
    exists: bool = False
    done: int = 0
    asked: bool = False
    obstacle: ErrorInfo | None = None

    def after(self, outcomes: Sequence[TaskOutcome]) -> SessionPlan:
        """The plan for a session whose visible branch has these outcomes.

        What somebody asked it after the run's last question is none of the run's business; before that it
        is an obstacle.
        """
        done = 0
        for text, outcome in zip(self.texts, outcomes, strict=False):
            is_last = outcome is outcomes[-1]
            is_complete = outcome.status is SessionStatus.COMPLETED
            if outcome.prompt != text or not (is_complete or is_last):
                return msgspec.structs.replace(self, exists=True, done=done, obstacle=self._led_elsewhere())
            if not is_complete:
                return msgspec.structs.replace(self, exists=True, done=done, asked=True)
            done += 1
        return msgspec.structs.replace(self, exists=True, done=done)

    def _led_elsewhere(self) -> ErrorInfo:
        return ErrorInfo(
            ErrorCode.CONFLICT,
            f"session {self.session_id} was asked something else meanwhile: the run cannot go on in it",
            {"session_id": self.session_id},
        )


class RunPlan(msgspec.Struct, frozen=True):
    """A run, and what its sessions are to ask. `resumed` says that the store may have some of it."""

    run: RunRecord
    sessions: tuple[SessionPlan, ...]
    resumed: bool

    @property
    def turns(self) -> int:
        return sum(len(session.texts) for session in self.sessions)


def new_plan(prompts: Prompts, *, sessions: int | None, model: str) -> RunPlan:
    """A run of one session per record, or of so many, over and over the records."""
    count = sessions or len(prompts.records)
    run = RunRecord(
        run_id=str(uuid.uuid4()),
        prompts_digest=prompts.digest,
        model=model,
        created_at=datetime.now(UTC),
        session_ids=tuple(str(uuid.uuid4()) for _ in range(count)),
    )
    return _plan(run, prompts, resumed=False)


def resumed_plan(
    run: RunRecord, prompts: Prompts, *, store: str, model: str | None, sessions: int | None
) -> RunPlan:
    """The plan of a run that is to go on; `model` and `sessions` are what the user says that they are.

    Raises:
        EngineError: `INVALID_ARGUMENT`, when this is not the run that the user has in mind.
    """
    if run.prompts_digest != prompts.digest:
        raise _not_this_run(
            f"these are not the prompts of the last run in {store}: resume with the same ones"
        )
    if model not in (None, run.model):
        raise _not_this_run(f"the last run in {store} asks {run.model}: leave out --model")
    count = len(run.session_ids)
    if sessions not in (None, count):
        raise _not_this_run(
            f"the last run in {store} has {count} sessions, not {sessions}: leave out --sessions"
        )
    return _plan(run, prompts, resumed=True)


def _plan(run: RunRecord, prompts: Prompts, *, resumed: bool) -> RunPlan:
    texts = prompts.repeated(len(run.session_ids))
    return RunPlan(run, tuple(map(SessionPlan, run.session_ids, texts)), resumed)


def _not_this_run(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
