"""The entry for `TrioActor` in the RUNTIMES table of pykka's own test suite; imported by its conftest."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from runtime import Reply, TrioActor, start_system


def trio_runtime(runtime_type: Any) -> Any:
    start_system()
    return pytest.param(
        runtime_type(
            name="trio",
            actor_class=TrioActor,
            event_class=threading.Event,
            future_class=Reply,
            sleep_func=time.sleep,
        ),
        id="trio",
    )
