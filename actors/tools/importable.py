"""Functions that travel to another process as `module:qualname`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from actors.tools.python_function import PythonFunction
from actors.tools.signature import Signature, wrong_declaration
from actors.tools.tool import Tool, ToolContext

__all__ = ["ImportedFunction", "find_function"]


class ImportedFunction:
    """The function of a tool. What is pickled of it is where it is found."""

    __slots__ = ("_function", "module", "qualname")

    def __init__(self, module: str, qualname: str, function: PythonFunction) -> None:
        self.module = module
        self.qualname = qualname
        self._function = function

    @classmethod
    def of(cls, python_function: PythonFunction) -> ImportedFunction:
        """
        Raises:
            EngineError: `INVALID_ARGUMENT` if no other process could import it.
        """
        function = python_function.function
        module = getattr(function, "__module__", None) or "__main__"
        qualname = getattr(function, "__qualname__", "")
        if not qualname or "<" in qualname:
            raise wrong_declaration(
                function, 'is made in another function, where runs="process" cannot find it: move it out'
            )
        if module == "__main__":
            raise wrong_declaration(
                function, 'is in the main script, which runs="process" does not import: move it to a module'
            )
        return cls(module, qualname, python_function)

    def __call__(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        return self._function.call(arguments, context)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return find_function, (self.module, self.qualname)

    def find_problem(self) -> str:
        """Why another process cannot import it, or ""."""
        try:
            find_function(self.module, self.qualname)
        except Exception as error:  # noqa: BLE001 - whatever a module raises while it is imported
            return f"{self.module}:{self.qualname} cannot be imported: {type(error).__name__}: {error}"
        return ""


def find_function(module: str, qualname: str) -> ImportedFunction:
    """What is there under this name: the tool that the decorator made, or the function itself."""
    found: object = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    if isinstance(found, Tool):
        found = found.function
    if isinstance(found, ImportedFunction):
        return found
    if not callable(found):
        raise TypeError(f"{module}:{qualname} is no function, but a {type(found).__name__}")
    return ImportedFunction(module, qualname, PythonFunction(found, Signature(found)))
