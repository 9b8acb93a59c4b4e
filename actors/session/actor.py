"""The session actor: performs what the session's logic decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, assert_never

import msgspec
import pykka
import trio

from actors.conversation import Image, ToolCall, ToolStatus
from actors.errors import EngineError, ErrorInfo
from actors.events import Event
from actors.governor import Governors
from actors.models.base import LanguageModel
from actors.persistence.protocol import LoadSession, Save
from actors.session.decide import decide
from actors.session.effects import (
    Answered,
    CallModel,
    CancelTask,
    CancelTools,
    Effect,
    Load,
    Now,
    Persist,
    Publish,
    ReadImages,
    RefuseAll,
    Refused,
    RunTool,
    TellLost,
    TellRegistry,
)
from actors.session.image_reading import ReadImage, read_images
from actors.session.model_call import ModelCall
from actors.session.protocol import (
    CallDelayed,
    CallsStopped,
    EncodedEvent,
    EventPublished,
    EventsLost,
    ImagesRead,
    Inheritance,
    OutputArrived,
    PartsArrived,
    ToolEnded,
    ToolStopped,
    TurnEnded,
    session_name,
    wants_encoded,
)
from actors.session.state import SessionEnvironment, SessionState
from actors.session.tool_run import ToolRun
from actors.session.turn_tasks import TurnTasks
from actors.tools import ToolRunner
from runtime import ActorRef, TrioActor, get_logger

__all__ = ["SessionActor"]

_log = get_logger("session")

_encoder = msgspec.json.Encoder()

# Names of child tasks, which the other ones, call ids, are not: those are never empty and hold no space.
_MODEL = " model"
_READING = " images"


class SessionActor(TrioActor):
    """One loaded chat session.

    It understands the messages of its `protocol`, and answers them when their promise is kept, which may be
    much later: every `ask` is deferred. A session that is not loaded yet keeps them until it is.
    """

    def __init__(
        self,
        session_id: str,
        *,
        registry: ActorRef[Any],
        persistence: ActorRef[Any],
        environment: SessionEnvironment,
        model_for: Callable[[str], LanguageModel],
        tool_runner: ToolRunner,
        governors: Governors | None = None,
        read_image: ReadImage | None = None,
        inheritance: Inheritance | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self._registry = registry
        self._persistence = persistence
        self._model_for = model_for
        self._tool_runner = tool_runner
        self._governors = governors
        self._read_image = read_image
        self._wall_clock = now
        self._state = SessionState(session_id, environment, inheritance or Inheritance())
        self._name = session_name(session_id)
        self._model_call: ModelCall | None = None
        self._tool_runs: dict[tuple[str, str], ToolRun] | None = None  # by task and call id
        self._tasks: TurnTasks | None = None  # while there is a turn: most sessions are at rest
        self._requests: dict[int, pykka.Future[Any]] = {}
        self._last_request = 0

    def on_start(self) -> None:
        # Also where it is to be made: what is there already must not be written over.
        self._perform([Load(self._state.session_id)])

    def on_receive(self, message: Any) -> None:
        if type(message) is PartsArrived:  # the one that comes all the time; nobody asks it
            self._perform(decide(self._state, message, self._now()))
            call = self._model_call
            if call is not None and call.task_id == message.task_id:
                call.taken()
            return
        if type(message) is OutputArrived:  # as the parts
            self._perform(decide(self._state, message, self._now()))
            tool_run = (self._tool_runs or {}).get((message.task_id, message.call_id))
            if tool_run is not None:
                tool_run.taken()
            return
        request = 0
        reply = self.defer()
        if reply is not None:
            request = self._last_request = self._last_request + 1
            self._requests[request] = reply
        status = self._status()
        self._perform(decide(self._state, message, self._now(), request))
        if self._status() is not status:
            self._log_transition()
        if self._tasks is not None and self._state.turn is None and self._tasks.is_at_rest:
            self._tasks = self._tool_runs = None
            self._requests = self._requests or {}  # one that was emptied keeps the room of its entries

    def _perform(self, effects: Iterable[Effect]) -> None:  # noqa: C901 - a table, one case an effect
        for effect in effects:
            match effect:
                case Persist(write, immediate):
                    self.send(self._persistence, Save(self._name, write, immediate))
                case Publish(event, subscribers):
                    self._publish(event, subscribers)
                case Answered(request, value):
                    if request:
                        self._requests.pop(request).set(value)
                case Refused(request, error):
                    if request:
                        _refuse(self._requests.pop(request), error)
                case RefuseAll(error):
                    requests, self._requests = self._requests, {}
                    for reply in requests.values():
                        _refuse(reply, error)
                case TellRegistry(message):
                    self.send(self._registry, message)
                case CallModel():
                    self._call_model(effect)
                case RunTool(task_id, call):
                    self._run_tool(task_id, call)
                case ReadImages(task_id, images):
                    self._turn_tasks().start(task_id, _READING, self._read_images, task_id, images)
                case CancelTools(task_id, call_ids):
                    self._turn_tasks().cancel(task_id, call_ids)
                    for call_id in call_ids:
                        run = (self._tool_runs or {}).pop((task_id, call_id), None)
                        if run is not None:
                            run.stopped()
                case CancelTask(number):
                    self._model_call = self._tool_runs = None
                    self._turn_tasks().stop(number)
                case Load(session_id):
                    self.send(self._persistence, LoadSession(self._name, session_id))
                case TellLost(lagged, subscribers):
                    for name in subscribers:
                        self.send(self.system.find(name), EventsLost(lagged))
                case _:
                    assert_never(effect)

    def _publish(self, event: Event, subscribers: Iterable[str]) -> None:
        published = EventPublished(event)
        encoded = None
        for name in subscribers:
            if not wants_encoded(name):
                self.send(self.system.find(name), published)
                continue
            if encoded is None:  # once, however many want it
                encoded = EncodedEvent(event.epoch, event.seq, _encoder.encode(event))
            self.send(self.system.find(name), encoded)

    def _call_model(self, call: CallModel) -> None:
        task_id = call.task_id
        try:
            model = self._model_for(call.model)
        except EngineError as error:  # it was there when the turn was admitted
            self._tell_myself(TurnEnded(task_id, error.info))
            return
        governors = self._governors
        admission = None if governors is None else governors.admission(call.model, call.priority)
        self._model_call = ModelCall(model, call.request, task_id, self._tell_myself, admission)
        self._turn_tasks().start(task_id, _MODEL, self._model_call.run)

    def _run_tool(self, task_id: str, call: ToolCall) -> None:
        tool = self._state.environment.tools.get_tool(call.name)
        if tool is None:  # an engine with other tools began this call
            output = f"There is no tool {call.name!r} any more."
            self._tell_myself(ToolEnded(task_id, call.call_id, ToolStatus.FAILED, output))
            return
        record = self._state.known_record()
        run = ToolRun(
            tool,
            call,
            task_id,
            self._tell_myself,
            self._tool_runner,
            session_id=record.session_id,
            directory=record.directory,
        )
        if self._tool_runs is None:
            self._tool_runs = {}
        self._tool_runs[task_id, call.call_id] = run
        self._turn_tasks().start(task_id, call.call_id, run.run)

    async def _read_images(self, task_id: str, images: tuple[tuple[str, tuple[Image, ...]], ...]) -> None:
        assert self._read_image is not None, "who has images read says how"
        self._tell_myself(await read_images(task_id, images, self._read_image))

    def _turn_tasks(self) -> TurnTasks:
        if self._tasks is None:
            self._tasks = TurnTasks(self.spawn, self._tell_myself)
        return self._tasks

    def _tell_myself(
        self,
        message: PartsArrived
        | CallDelayed
        | TurnEnded
        | OutputArrived
        | ToolEnded
        | ToolStopped
        | ImagesRead
        | CallsStopped,
    ) -> None:
        if type(message) is TurnEnded:
            call = self._model_call
            # One that was stopped may end by itself nevertheless, while the next turn's call is under way.
            if call is not None and call.task_id == message.task_id:
                self._model_call = None
        elif type(message) is ToolEnded and self._tool_runs is not None:
            self._tool_runs.pop((message.task_id, message.call_id), None)
        # What a call says while its session ends is a dead letter, not an error of the model's.
        self.send(self.actor_ref, message)

    def _now(self) -> Now:
        return Now(self._wall_clock(), trio.current_time())

    def _status(self) -> object:
        return None if self._state.record is None else self._state.record.status

    def _log_transition(self) -> None:
        if not _log.isEnabledFor(logging.INFO):  # what the log would find out eight times as slowly
            return
        record = self._state.known_record()
        _log.info(
            "session status",
            session_id=record.session_id,
            path=self._state.inheritance.path,
            status=record.status.value,
            task_id=None if record.task is None else record.task.task_id,
        )


def _refuse(reply: pykka.Future[Any], error: ErrorInfo) -> None:
    reply.set_exception((EngineError, error.to_exception(), None))
