"""`python -m actors.upstream`: the command `greenroom upstream` by itself."""

from __future__ import annotations

import argparse
import sys

from actors.cli.upstream import add_parser
from actors.errors import EngineError

parser = argparse.ArgumentParser(prog="greenroom")
add_parser(parser.add_subparsers(required=True))
arguments = parser.parse_args(["upstream", *sys.argv[1:]])
try:
    sys.exit(arguments.run(arguments))
except EngineError as error:
    sys.stderr.write(f"greenroom: {error}\n")
    sys.exit(2)
