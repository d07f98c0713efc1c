"""The pictures of docs/performance.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.growth import Grown
from bench.measure import Row

_ROLES: Final = ("web", "redis", "postgres", "worker", "broker")


def processor_time(rows: Sequence[Row], path: Path) -> None:
    """A bar for each row, its parts by role."""
    figure, axes = _axes(0.55 * len(rows) + 1.2)
    names, left = [row.name for row in rows], [0.0] * len(rows)
    for role in _ROLES:
        parts = [row.closed.cpu_us.get(role, 0.0) for row in rows]
        axes.barh(names, parts, left=left, label=role)
        left = [a + b for a, b in zip(left, parts, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("processor time a request, µs")
    axes.legend(ncols=len(_ROLES), fontsize="small", loc="lower right")
    _save(figure, path)


def latency(rows: Sequence[Row], path: Path) -> None:
    """p50, p99 and p99.9 at each fixed rate."""
    figure, axes = _axes(4)
    for row in rows:
        for share, ran in row.at.items():
            label = f"{row.name}, {share:.0%} ({ran.rate:,.0f}/s)"
            axes.plot(["p50", "p99", "p99.9"], [ran.p50_ms, ran.p99_ms, ran.p999_ms], marker="o", label=label)
    axes.set_yscale("log")
    axes.set_ylabel("ms from the moment it was due")
    axes.legend(fontsize="small")
    _save(figure, path)


def growth(grown: Sequence[Grown], path: Path) -> None:
    """A reserve's cost by what Redis holds already."""
    figure, axes = _axes(3)
    names = [f"{g.zones:,} zone{'s' if g.zones > 1 else ''}\n{g.live:,} live" for g in grown]
    axes.bar(names, [g.reserve_us for g in grown], label="reserve")
    axes.bar(names, [g.empty_us for g in grown], label="empty script")
    axes.set_ylabel("Redis, µs a call")
    axes.legend(fontsize="small")
    _save(figure, path)


def _axes(height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, height))
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
