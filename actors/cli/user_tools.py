"""Tools from a Python module of the user's."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from actors.errors import EngineError, ErrorCode
from actors.printable import one_line
from actors.tools import Tool

__all__ = ["load_tools"]


def load_tools(reference: str) -> tuple[Tool, ...]:
    """The tools of `MODULE`, or the one that is `NAME` in it for `MODULE:NAME`. Runs the module's code.

    What can be imported from the current directory is found, as `python -m` would.

    Raises:
        EngineError: `INVALID_ARGUMENT`: it cannot be imported, or has no tools, or not this one.
    """
    module_name, _, name = reference.partition(":")
    if module_name.endswith(".py"):
        imported = module_name.removesuffix(".py").replace("/", ".").lstrip(".")
        raise _refused(f"--tools {reference}: this is a file; name it as in an import: {imported}")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise _refused(f"--tools {reference}: {module_name!r} is no name of a module")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # translation edge: the user's code
        raise _refused(
            f"--tools {reference}: {module_name} cannot be imported: {type(error).__name__}:"
            f" {one_line(str(error))}"
        ) from error
    return (_named(module, module_name, name),) if name else _all(module, module_name)


def _all(module: ModuleType, module_name: str) -> tuple[Tool, ...]:
    found = {id(value): value for value in vars(module).values() if isinstance(value, Tool)}
    if not found:
        raise _refused(
            f"--tools {module_name}: there are no tools in it; make one of a function with @tool"
            " of actors.tools"
        )
    return tuple(found.values())


def _named(module: ModuleType, module_name: str, name: str) -> Tool:
    value = getattr(module, name, None)
    if isinstance(value, Tool):
        return value
    if callable(value):
        raise _refused(f"--tools {module_name}:{name}: this is no tool; put @tool of actors.tools above it")
    known = ", ".join(key for key, one in vars(module).items() if isinstance(one, Tool)) or "none"
    raise _refused(f"--tools {module_name}:{name}: there is no such tool; {module_name} has: {known}")


def _refused(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
