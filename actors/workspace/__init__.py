"""Tools and file references that look into folders, and nowhere else."""

from actors.workspace.backends import Backend, PythonBackend, RipgrepBackend, find_backend
from actors.workspace.references import (
    Reference,
    References,
    extract_file_references,
    process_file_references,
)
from actors.workspace.tools import workspace_tools
from actors.workspace.workspace import Place, Workspace

__all__ = [
    "Backend",
    "Place",
    "PythonBackend",
    "Reference",
    "References",
    "RipgrepBackend",
    "Workspace",
    "extract_file_references",
    "find_backend",
    "process_file_references",
    "workspace_tools",
]
