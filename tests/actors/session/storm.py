"""Many random lives of a session, and what they came to.

python -m tests.actors.session.storm --examples 500
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.actors.session.test_session_machine import SessionMachine

__all__ = ["main"]


class _Storm:
    lives = 0
    turns = 0
    tools = 0


class _CountedSession(SessionMachine):
    def teardown(self) -> None:
        super().teardown()
        _Storm.lives += 1
        _Storm.turns += len(self.world.outcomes)
        _Storm.tools += len(self.world.tool_runs)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    run_state_machine_as_test(
        _CountedSession,
        settings=settings(
            max_examples=given.examples,
            stateful_step_count=given.steps,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )
    sys.stdout.write(
        f"{_Storm.lives} lives of up to {given.steps} steps, {_Storm.turns} turns, "
        f"{_Storm.tools} tool runs: every promise held after every step "
        f"({time.perf_counter() - began:.0f} s)\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
