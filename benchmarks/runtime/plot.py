"""The comparison as a picture. Needs matplotlib (the extra `bench`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runtime.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1b7837", "#762a83", "#2166ac", "#b2182b", "#b35806", "#4d4d4d")


class PlotUnavailableError(Exception):
    """matplotlib is not installed."""


def require_matplotlib() -> None:
    """Find out before the measuring, not after it.

    Raises:
        PlotUnavailableError: it is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional dependency, of this option only
    except ImportError as error:
        raise PlotUnavailableError("--plot needs matplotlib: pip install 'greenroom[bench]'") from error
    mpl.use("Agg")


def plot(report: Report, path: Path) -> None:
    """Draw rates and memory, as far as measured, into `path`; its suffix names the format."""
    require_matplotlib()
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    panels = [bool(report.speed), bool(report.memory)]
    figure, axes = plt.subplots(  # pyright: ignore[reportUnknownMemberType] - keyword arguments untyped
        1, max(1, sum(panels)), figsize=(7 * max(1, sum(panels)), 8), squeeze=False, layout="constrained"
    )
    left: list[Axes] = list(axes[0])
    if report.speed:
        _rates(report, left.pop(0))
    if report.memory:
        _memory(report, left.pop(0))
    figure.suptitle(f"{report.python}, one core of {report.machine}", fontsize=9)  # pyright: ignore[reportUnknownMemberType]
    figure.savefig(path)  # pyright: ignore[reportUnknownMemberType]


def _rates(report: Report, axes: Axes) -> None:
    benchmarks = list(dict.fromkeys(row.benchmark for row in report.speed))
    values = {(row.benchmark, row.peer): row.median_rate for row in report.speed}
    _bars(axes, benchmarks, list(dict.fromkeys(row.peer for row in report.speed)), values)
    axes.set_xlabel("per second, logarithmic: longer is better")  # pyright: ignore[reportUnknownMemberType]


def _memory(report: Report, axes: Axes) -> None:
    sizes = {row.actors: f"{row.actors:,} actors" for row in report.memory}
    values = {(sizes[row.actors], row.peer): row.used_bytes / 1e3 for row in report.memory}
    _bars(axes, list(sizes.values()), list(dict.fromkeys(row.peer for row in report.memory)), values)
    axes.set_xlabel("kB per actor after one message, logarithmic: shorter is better")  # pyright: ignore[reportUnknownMemberType]


def _bars(axes: Axes, groups: list[str], peers: list[str], values: dict[tuple[str, str], float]) -> None:
    height = 0.8 / len(peers)
    for number, peer in enumerate(peers):
        found = [
            (place, values[group, peer]) for place, group in enumerate(groups) if (group, peer) in values
        ]
        axes.barh(  # pyright: ignore[reportUnknownMemberType]
            [place + (number - (len(peers) - 1) / 2) * height for place, _ in found],
            [value for _, value in found],
            height,
            label=peer,
            color=_COLOURS[number % len(_COLOURS)],
        )
    axes.set_yticks(range(len(groups)), groups)  # pyright: ignore[reportUnknownMemberType]
    axes.invert_yaxis()
    axes.set_xscale("log")  # pyright: ignore[reportUnknownMemberType]
    axes.grid(visible=True, axis="x", alpha=0.3)  # pyright: ignore[reportUnknownMemberType]
    axes.legend()  # pyright: ignore[reportUnknownMemberType]
