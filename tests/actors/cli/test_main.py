"""The frame of the command: what every subcommand has in common."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actors import __version__
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment, greenroom


def shell(script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script in which "$@" is the command."""
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *COMMAND],
        capture_output=True,
        env=environment(),
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_it_knows_its_version() -> None:
    assert greenroom("--version").stdout == f"greenroom {__version__}\n".encode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("dance",), "greenroom: argument COMMAND: invalid choice: 'dance' (choose from"),
        (
            ("run", "a\nb", "c\nd"),
            "greenroom run: unrecognized arguments: c d (greenroom run --help shows the usage)",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: tuple[str, ...], said: str) -> None:
    finished = greenroom(*arguments)

    assert (finished.returncode, finished.stdout) == (2, b"")
    assert finished.stderr.decode().startswith(said)
    assert finished.stderr.count(b"\n") == 1


def test_without_a_command_the_help_is_shown_with_status_2() -> None:
    finished = greenroom()

    assert (finished.returncode, finished.stdout) == (2, b"")
    assert finished.stderr == greenroom("--help").stdout


def test_no_control_character_of_an_argument_reaches_the_terminal() -> None:
    finished = greenroom("run", "\x1b[31mred\x07", "--model", "scripted:echo")

    assert (
        finished.stderr == b"greenroom: cannot read the prompts from [31mred: No such file or directory\n"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_reason_to_crash(closed: str) -> None:
    finished = shell(f'"$@" sessions --store /nowhere/x.db {closed}')

    assert finished.returncode == 2
    assert b"Traceback" not in finished.stderr


def test_standard_input_that_is_closed_holds_no_prompts() -> None:
    finished = shell('"$@" run - --model scripted:echo <&-')

    assert finished.returncode == 2
    assert finished.stderr == b"greenroom: cannot read the prompts from standard input: it is closed\n"


def test_the_log_of_an_exception_shows_no_variables() -> None:
    program = """
import sys
from actors.cli.logs import configure_logging
from runtime import get_logger

def fail(key):
    raise ValueError("broken")

configure_logging(verbosity=1, log_format=sys.argv[1])
try:
    fail(sys.stdin.read())
except ValueError:
    get_logger("session").exception("model failed")
"""
    for log_format in ("console", "json"):
        finished = subprocess.run(
            [sys.executable, "-c", program, log_format],
            input=b"sk-secret",
            capture_output=True,
            env=environment(),
            timeout=LIMIT_SECONDS,
            check=False,
        )

        assert b"ValueError: broken" in finished.stderr
        assert b"sk-secret" not in finished.stderr
