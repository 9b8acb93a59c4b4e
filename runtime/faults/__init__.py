"""Faults put in on purpose, at named seams of the runtime, as a plan and its seed decide."""

from runtime.faults.injector import FaultInjected, Injector, install
from runtime.faults.plan import (
    FAULTS_OF,
    Crash,
    Delay,
    Drop,
    Duplicate,
    Fault,
    FaultPlan,
    FaultRule,
    Hang,
    InjectedError,
    Seam,
)

__all__ = [
    "FAULTS_OF",
    "Crash",
    "Delay",
    "Drop",
    "Duplicate",
    "Fault",
    "FaultInjected",
    "FaultPlan",
    "FaultRule",
    "Hang",
    "InjectedError",
    "Injector",
    "Seam",
    "install",
]
