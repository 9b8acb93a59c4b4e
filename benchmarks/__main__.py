"""Runs the benchmarks of the session engine one after the other, each in a process of its own.

With `--json` their reports are one object, by name.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import msgspec

from benchmarks.setting import CHECKOUT

BENCHMARKS = (
    "engine_cost",
    "scaling",
    "streaming",
    "first_event",
    "session_memory",
    "reloading",
    "tools",
    "governor",
    "model_lookup",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that they work")
    parser.add_argument("--json", action="store_true", help="print all reports as one JSON object")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, metavar="NAME")
    options = parser.parse_args()
    flags = [f"--{name}" for name in ("quick", "json") if getattr(options, name)]
    reports: dict[str, msgspec.Raw] = {}
    for name in options.only:
        print(name, file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *flags],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE if options.json else None,
            check=True,
        )
        if options.json:
            reports[name] = msgspec.Raw(done.stdout)
        else:
            print(flush=True)
    if options.json:
        print(msgspec.json.encode(reports).decode())


if __name__ == "__main__":
    main()
