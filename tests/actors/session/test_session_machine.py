"""Random lives of a session: whatever is slow, refused, aborted or broken, its promises hold."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from actors.conversation import Attachment, Image, Role, Text
from actors.records import ApprovalMode, CallState, ChatMode, ConfirmationOutcome, ImageMode, WorkMode
from actors.session.protocol import (
    AbortTurn,
    CancelToolCalls,
    ConfirmToolCall,
    Cursor,
    DeleteMessage,
    EditMessage,
    GetPage,
    GetSnapshot,
    MarkRead,
    MessagePage,
    NewSession,
    OnBusy,
    Rerun,
    ResumeTurn,
    RetryAnswer,
    SessionChanges,
    SubmitTurn,
    SwitchBranch,
    UpdateSession,
    WaitTurn,
)
from tests.actors.session.observer import Observer
from tests.actors.session.session_machine import SurroundedSession, new_sessions, tool_calls, tool_modes
from tests.actors.session.world import World

__all__ = ["SessionMachine"]

priorities = st.integers(-1, 1)
executors = st.sampled_from(("default", "default", "expert", "modest", "homeless", "nobody"))
changes = st.builds(
    SessionChanges,
    title=st.sampled_from((None, "a title", "x" * 300)),
    model=st.sampled_from((None, "scripted:other", "nowhere:model")),
    system_prompt=st.sampled_from((None, "You say {{n}}.")),
    mode=st.sampled_from((None, *ChatMode)),
    approval_mode=st.sampled_from((None, *ApprovalMode)),
    max_turns=st.sampled_from((None, 0, 2)),
    work_mode=st.sampled_from((None, *WorkMode)),
    tool_modes=st.none() | tool_modes,
    max_parallel_calls=st.sampled_from((None, 0, 1, 2)),
)


class SessionMachine(SurroundedSession):
    @initialize(new=new_sessions, calls=st.none() | tool_calls, image_mode=st.sampled_from(ImageMode))
    def begin(
        self, new: NewSession, calls: list[tuple[str, str, str]] | None, image_mode: ImageMode
    ) -> None:
        """Most lives begin in the middle of a turn: chance alone seldom gets that far."""
        self.world = World(new, image_mode=image_mode)
        self.world.run_to_rest()
        if calls is not None:
            self.began.append(self.world.ask(SubmitTurn(text="begin {{n}}", on_busy=OnBusy.QUEUE)))
            self.let_all_arrive()
            self.call_tools(calls, ends=True)

    def message_ids(self) -> list[str]:
        return ["unknown", *(message.message_id for message in self.world.state.tree)]

    @rule(
        priority=priorities,
        executor_id=executors,
        on_busy=st.sampled_from(OnBusy),
        named=st.booleans(),
        attached=st.booleans(),
        shown=st.sampled_from((0, 0, 1, 2)),
        quickly=st.booleans(),
    )
    def submit(
        self,
        priority: int,
        executor_id: str,
        on_busy: OnBusy,
        named: bool,
        attached: bool,
        shown: int,
        quickly: bool,
    ) -> None:
        number = len(self.submitted)
        command = SubmitTurn(
            text=f"question {number} {{{{n}}}}",
            attachments=(Attachment("a.txt", "content"),) if attached else (),
            images=tuple(Image("image/png", b"%d" % one) for one in range(shown)),
            priority=priority,
            executor_id=executor_id,
            on_busy=on_busy,
            request_id=f"request {number}" if named else None,
        )
        self.submitted[command.text] = []
        self._submit(command)
        if quickly:
            self.let_all_arrive()

    @precondition(lambda self: self.submitted)
    @rule(data=st.data(), on_busy=st.sampled_from(OnBusy))
    def submit_again(self, data: st.DataObject, on_busy: OnBusy) -> None:
        """The same request: by a client that did not hear the answer."""
        text = data.draw(st.sampled_from(sorted(self.submitted)))
        number = text.split()[1]
        self._submit(SubmitTurn(text=text, on_busy=on_busy, request_id=f"request {number}"), again=True)

    def _submit(self, command: SubmitTurn, *, again: bool = False) -> None:
        if again and not self.was_named(command):
            return
        request = self.world.ask(command)
        self.submitted[command.text].append(request)
        self.began.append(request)
        if command.request_id is not None:
            self.named.add(command.request_id)

    def was_named(self, command: SubmitTurn) -> bool:
        return command.request_id in self.named

    def __init__(self) -> None:
        super().__init__()
        self.named: set[str] = set()
        self.replays = 0
        self.strangers = 0

    @rule(priority=priorities)
    def resume(self, priority: int) -> None:
        self.began.append(self.world.ask(ResumeTurn(priority=priority)))

    @rule(data=st.data(), executor_id=executors)
    def retry(self, data: st.DataObject, executor_id: str) -> None:
        message_id = data.draw(st.sampled_from(self.message_ids()))
        self.began.append(self.world.ask(RetryAnswer(message_id=message_id, executor_id=executor_id)))

    @rule(data=st.data(), rerun=st.booleans(), stale=st.sampled_from((False, False, True)))
    def edit(self, data: st.DataObject, rerun: bool, stale: bool) -> None:
        message_id = data.draw(st.sampled_from(self.message_ids()))
        if not rerun:
            self._may_go(message_id)
        self.replays += 1
        request = self.world.ask(
            EditMessage(
                message_id=message_id,
                text=f"edited {self.replays}",
                rerun=rerun,
                expected_version=-1 if stale else None,
            )
        )
        if rerun:
            self.began.append(request)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(self.message_ids()))
        self._may_go(message_id)
        self.world.ask(DeleteMessage(message_id=message_id))

    def _may_go(self, message_id: str) -> None:
        message = self.world.state.tree.find(message_id)
        if message is None:
            return
        text = (
            message.content.text if message.role is Role.USER and isinstance(message.content, Text) else ""
        )
        self.may_be_gone.add(text)

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        self.world.ask(SwitchBranch(message_id=data.draw(st.sampled_from(self.message_ids()))))

    @rule(priority=priorities)
    def rerun(self, priority: int) -> None:
        self.replays += 1  # so that no text is that of another question
        self.began.append(
            self.world.ask(Rerun(input_data={"n": f"rerun {self.replays}"}, priority=priority))
        )

    @rule(changes=changes)
    def update(self, changes: SessionChanges) -> None:
        self.world.ask(UpdateSession(changes=changes))

    @rule()
    def mark_read(self) -> None:
        self.world.ask(MarkRead())

    @rule(data=st.data(), outcome=st.sampled_from(ConfirmationOutcome))
    def confirm(self, data: st.DataObject, outcome: ConfirmationOutcome) -> None:
        call_ids = [call.call.call_id for call in self.world.state.scheduler.calls]
        call_id = data.draw(st.sampled_from([*call_ids, *call_ids, "call_0", "unknown"]))
        self.world.ask(ConfirmToolCall(call_id=call_id, outcome=outcome))

    @rule(data=st.data(), all_of_them=st.booleans())
    def cancel_calls(self, data: st.DataObject, all_of_them: bool) -> None:
        world = self.world
        call_ids = [call.call.call_id for call in world.state.scheduler.calls]
        chosen = data.draw(st.lists(st.sampled_from([*call_ids, "unknown"]), max_size=2))
        could_answer = world.state.ready and not world.leaving and world.rebuild is None
        request = world.ask(CancelToolCalls(call_ids=None if all_of_them else tuple(chosen)))
        assert not could_answer or request not in world.unanswered, "answered at once"

    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        self.world.ask(WaitTurn(data.draw(st.sampled_from(self.task_ids()))))

    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from([None, *self.task_ids()]))
        world = self.world
        could_answer = world.state.ready and not world.leaving and world.rebuild is None
        request = world.ask(AbortTurn(task_id))
        assert not could_answer or request not in world.unanswered, "an abort is answered at once"

    @rule(skip=st.integers(-1, 5), take=st.integers(0, 3))
    def look(self, skip: int, take: int) -> None:
        self.world.ask(GetSnapshot())
        page = self.world.answers.get(self.world.ask(GetPage(skip=skip, take=take)))
        if isinstance(page, MessagePage):
            assert len(page.messages) == max(0, min(take, page.total - skip))

    @rule(epoch=st.integers(0, 4), seq=st.integers(-1, 60))
    def come_with_any_cursor(self, epoch: int, seq: int) -> None:
        """Whatever was given is without a gap, else `Observer` says so."""
        self.strangers += 1
        name = f"stranger {self.strangers}"
        stranger = self.world.observers[name] = Observer()
        stranger.cursor = Cursor(epoch, seq)
        self.world.subscribe(name, stranger.cursor)

    def finish_what_waits(self) -> None:
        for _ in range(50):
            waiting = [
                call.call.call_id
                for call in self.world.state.scheduler.calls
                if call.state is CallState.AWAITING_APPROVAL
            ]
            if not waiting:
                return
            self.world.ask(ConfirmToolCall(call_id=waiting[0], outcome=ConfirmationOutcome.DENIED))
            self.world.run_to_rest()
        raise AssertionError("it asks for ever")


def test_a_session_keeps_its_promises_in_every_life() -> None:
    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )
