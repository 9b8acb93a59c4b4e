"""Which `.gitignore` rules hold in a folder because of the folders above it."""

from __future__ import annotations

from pathlib import Path

from actors.scan.ignoring import NO_RULES, rebased
from actors.workspace.query import Scope
from actors.workspace.workspace import Place

__all__ = ["scope_of"]

_LARGEST_BYTES = 1_000_000


def scope_of(place: Place) -> Scope:
    """The scope of a folder. Looks at the disk, from the root down, and never above the root.

    A folder that is ignored can still be looked into by its name: the rules above it do not hold then.
    """
    relative = place.path.relative_to(place.root)
    rules = NO_RULES
    lines: list[str] = []
    for depth, name in enumerate(relative.parts):
        above = Path(*relative.parts[:depth])
        folder = "" if depth == 0 else above.as_posix()
        told = [new for line in _lines(place.root / above / ".gitignore") if (new := rebased(line, folder))]
        lines += told
        rules = rules.below("", told)
        if rules.ignores((above / name).as_posix(), is_folder=True):
            return Scope(str(place.root), relative.as_posix())
    return Scope(str(place.root), relative.as_posix() if relative.parts else "", tuple(lines))


def _lines(path: Path) -> list[str]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return []
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
