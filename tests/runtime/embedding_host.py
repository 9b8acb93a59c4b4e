"""A host that forgets to stop its system; started by test_embed.py."""

from __future__ import annotations

from runtime import start_system
from tests.runtime.samples import Echo

if __name__ == "__main__":
    ref = start_system().system.spawn(Echo)
    print(ref.ask("answered", timeout=10), flush=True)  # noqa: T201 - the parent reads it
