"""The tables in docs/performance.md, between marks, and the plots beside it: written by one command, never by hand."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from bench import views
from bench.client import Client
from bench.collector import Pause
from bench.confirm import Confirmed
from bench.cycles import Held
from bench.growth import Grown
from bench.measure import Row
from bench.pipeline import Carried
from bench.profile import Part, Profile
from bench.scripts import Cost
from dev.process import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"
PLOTS: Final = ROOT / "docs" / "performance"
_ROLES: Final = ("web", "redis", "postgres", "worker", "broker")


def machine() -> str:
    """What it ran on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"{os.cpu_count()} cores ({model}), {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {_redis()}"
    )


def occasion(command: str) -> str:
    """When, of what, how, and how busy the machine was."""
    commit = _told("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return (
        f"Commit `{commit}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{command}`; the machine's load before it: "
        f"{os.getloadavg()[0]:.1f}."
    )


def _redis() -> str:
    version = re.search(r"v=(\S+)", _told("redis-server", "--version"))
    return f"Redis {version[1]}" if version else "no redis-server"


def _told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def closed_table(rows: Sequence[Row]) -> str:
    """Closed loop: throughput, processor time a request by role, latency, the driver's own share."""
    head = ["", "requests/s", "CPU µs/request", *_ROLES, "p50 ms", "p99 ms", "driver, of a core", "cores busy"]
    body = []
    for row in rows:
        s = row.closed
        parts = [f"{s.cpu_us[role]:.0f}" if role in s.cpu_us else "" for role in _ROLES]
        body.append(
            [
                row.name,
                f"{s.per_second:,.0f}",
                f"{s.total_us:.0f}",
                *parts,
                f"{s.p50_ms:.1f}",
                f"{s.p99_ms:.1f}",
                f"{s.driver:.0%}",
                f"{s.cores:.2f}",
            ]
        )
    return table(head, body)


def idle_line(idle: Mapping[str, float]) -> str:
    parts = ", ".join(f"{role} {ms:.0f}" for role, ms in idle.items())
    return f"With nothing to do they take, ms in a second: {parts}. At 1,000 requests a second that is as many µs each."


def open_table(rows: Sequence[Row]) -> str:
    """Open loop: latency at fixed rates, counted from the moment each request was due."""
    head = [
        "",
        "of capacity",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "no answer",
        "driver late p99 ms",
        "driver, of a core",
    ]
    body = []
    for row in rows:
        for share, ran in row.at.items():
            figures = [f"{ran.p50_ms:.1f}", f"{ran.p99_ms:.1f}", f"{ran.p999_ms:.1f}", str(ran.failed)]
            body.append(
                [row.name, f"{share:.0%}", f"{ran.rate:,.0f}", *figures, f"{ran.late_p99_ms:.1f}", f"{ran.cpu:.0%}"]
            )
    return table(head, body)


def script_table(costs: Sequence[Cost]) -> str:
    head = ["script", "asked by", "Redis CPU µs/call", "empty script µs", "ratio"]
    return table(head, [[c.script, c.how, f"{c.cost_us:.1f}", f"{c.empty_us:.1f}", f"{c.ratio:.1f}"] for c in costs])


def client_table(cost: Client) -> str:
    head = ["a script call, 64 greenlets at once", "CPU µs of the web process"]
    return table(
        head, [["redis-py's pool", f"{cost.pool_us:.1f}"], ["one connection for all", f"{cost.shared_us:.1f}"]]
    )


def collector_table(pause: Pause) -> str:
    head = ["a full garbage collection of the web process", "objects", "ms"]
    body = [["as loaded", f"{pause.objects:,}", f"{pause.before_ms:.1f}"], ["frozen", "", f"{pause.after_ms:.2f}"]]
    return table(head, body)


def cycles_table(held: Sequence[Held]) -> str:
    head = ["", "MiB after the first tenth", f"MiB after {held[0].cycles:,} cycles", "growth", "processes come since"]
    body = [
        [h.role, f"{h.first / 2**20:.1f}", f"{h.last / 2**20:.1f}", f"{h.growth:+.1%}", _come(h.come)] for h in held
    ]
    return table(head, body)


def _come(sizes: Sequence[int]) -> str:
    return f"{len(sizes)}, of {sum(sizes) / 2**20:.1f} MiB" if sizes else ""


def growth_table(grown: Sequence[Grown]) -> str:
    head = ["zones", "live reservations", "Redis CPU µs/reserve", "mean up to there", "empty script µs", "bytes each"]
    body = [
        [
            f"{g.zones:,}",
            f"{g.live:,}",
            f"{g.reserve_us:.1f}",
            f"{g.mean_us:.1f}",
            f"{g.empty_us:.1f}",
            f"{g.bytes_each:.0f}",
        ]
        for g in grown
    ]
    return table(head, body)


def view_table(costs: Sequence[views.Cost]) -> str:
    head = ["", "by Flask, CPU µs", "past it, CPU µs", "ratio"]
    return table(
        head, [[c.verb, f"{c.flask_us:.1f}", f"{c.hot_us:.1f}", f"{c.flask_us / c.hot_us:.1f}"] for c in costs]
    )


def profile_table(profile: Profile) -> str:
    def of(head: str, parts: Sequence[Part]) -> str:
        return table([head, "µs"], [[f"`{part.name}`", f"{part.cost_us:.1f}"] for part in parts])

    return "\n\n".join(
        [
            f"{profile.samples:,} looks at the web process, {profile.cost_us:.0f} µs a reserve.",
            of("by what is on the top of the stack", profile.floors),
            of("a function of ours, with all that it calls", profile.functions),
            of("a line", profile.lines),
        ]
    )


def layer_table(layers: Sequence[views.Layer]) -> str:
    return table(["of a reserve past Flask", "alone, CPU µs"], [[one.name, f"{one.cost_us:.1f}"] for one in layers])


def confirm_table(rows: Sequence[Confirmed]) -> str:
    head = ["", "zones", "confirms/s", "CPU µs/confirm", "web", "redis", "postgres", "p50 ms", "p99 ms"]
    body = []
    for row in rows:
        parts = [f"{row.cpu_us[role]:.0f}" for role in ("web", "redis", "postgres")]
        figures = [str(row.zones), f"{row.per_second:,.0f}", f"{sum(row.cpu_us.values()):.0f}"]
        body.append([row.way, *figures, *parts, f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}"])
    return table(head, body)


def pipeline_table(rows: Sequence[Carried]) -> str:
    roles = ("redis", "postgres", "worker", "broker")
    head = ["", "of each", "per second", "CPU µs each", *roles, "longest call, ms"]
    body = []
    for row in rows:
        parts = [f"{row.cpu_us[role]:.1f}" for role in roles]
        longest = "" if row.longest_ms is None else f"{row.longest_ms:.1f}"
        body.append(
            [row.step, f"{row.count:,}", f"{row.per_second:,.0f}", f"{sum(row.cpu_us.values()):.1f}", *parts, longest]
        )
    return table(head, body)


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def keep(directory: Path, results: Mapping[str, Any]) -> Path:
    """Every figure as JSON, for whoever compares two commits."""
    path = directory / "results.json"
    path.write_text(json.dumps(results, indent=1, default=asdict))
    return path


def write(sections: Mapping[str, str]) -> None:
    """Puts each text between its marks on the page; what stands around them is written by people."""
    page = PAGE.read_text()
    for name, text in sections.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise RuntimeError(f"{PAGE.name} has no place for {name}")
        page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(page)
