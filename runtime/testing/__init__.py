"""What tests of actors need: a probe, a clock in the test's hand, and runs that a seed decides."""

from runtime.testing.clock import ManualClock
from runtime.testing.probe import Probe
from runtime.testing.seeded import (
    DeadlockError,
    explore,
    find_failing_seed,
    open_seeded_system,
    run_seeded,
)
from runtime.testing.seeded_pace import SeededPace

__all__ = [
    "DeadlockError",
    "ManualClock",
    "Probe",
    "SeededPace",
    "explore",
    "find_failing_seed",
    "open_seeded_system",
    "run_seeded",
]
