"""`python -m bench [scenario ...]`, `make bench`: side-by-side measurements of a real system of its own.

Nothing is written but .run/bench; with --write the tables and plots of docs/performance.md are made anew.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from bench import (
    client,
    collector,
    confirm,
    cycles,
    growth,
    pipeline,
    plots,
    profile,
    report,
    requests,
    reserve,
    scripts,
    verbs,
    views,
)
from bench.lab import Lab
from bench.measure import QUICK, WHOLE, Plan, Subject
from bench.system import System
from dev import interruption
from dev.errors import DevError, Interrupted
from dev.process import ROOT

DIRECTORY: Final = ROOT / ".run" / "bench"
ON_SYSTEMS: Final = ("reserve",)  # a round, a system
ON_A_SYSTEM: Final = ("verbs", "profile", "confirm", "pipeline", "cycles")
IN_THE_LAB: Final = ("scripts", "client", "growth")
IN_A_PROCESS: Final = ("views", "collector")
IN_A_HURRY: Final = ("reserve", "client", "scripts")


def _say(line: str) -> None:
    print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = [*ON_SYSTEMS, *ON_A_SYSTEM, *IN_THE_LAB, *IN_A_PROCESS]
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(known)}; default: all")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two short rounds; alone: {} in some three minutes".format(", ".join(IN_A_HURRY)),
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each run")
    parser.add_argument("--connections", type=int, help="of the closed loop")
    parser.add_argument("--cycles", type=int, default=1_000_000, help="of the scenario cycles")
    parser.add_argument("--write", action="store_true", help="docs/performance.md and its plots")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME:SETTING=VALUE[,SETTING=VALUE]",
        help="one more web process of Holdfast, with these settings, beside the others",
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=URL", help="measured beside us by the same drivers"
    )
    parser.add_argument(
        "--peer-request",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="what is sent to the peer, in the order of --peer: bench/requests.py tells its form",
    )
    parser.add_argument(
        "--peer-pids",
        action="append",
        default=[],
        metavar="ROLE=PID[,ROLE=PID]",
        help="the peer's processes, in the order of --peer; roles: web redis postgres worker broker",
    )
    parser.add_argument("--peer-expects", type=int, default=201, metavar="STATUS")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(known):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if len(arguments.peer) != len(arguments.peer_request):
        parser.error("each --peer needs its --peer-request")
    return arguments


def _plan(arguments: argparse.Namespace) -> Plan:
    values: dict[str, Any] = dict(QUICK if arguments.quick else WHOLE)
    values |= {name: value for name in ("rounds", "seconds", "connections") if (value := getattr(arguments, name))}
    if arguments.seconds:
        values["open_seconds"] = arguments.seconds
    return Plan(directory=DIRECTORY, say=_say, **values)


def _all(quick: bool) -> list[str]:
    return list(IN_A_HURRY) if quick else [*ON_SYSTEMS, *ON_A_SYSTEM, *IN_THE_LAB, *IN_A_PROCESS]


def _variants(arguments: argparse.Namespace) -> Mapping[str, Mapping[str, str]]:
    named = [text.partition(":")[::2] for text in arguments.variant]
    return {**reserve.VARIANTS, **{name: dict(s.split("=", 1) for s in told.split(",")) for name, told in named}}


def _peers(arguments: argparse.Namespace) -> list[Subject]:
    peers = []
    pids = [*arguments.peer_pids, *[""] * len(arguments.peer)]
    for told, file, of in zip(arguments.peer, arguments.peer_request, pids, strict=False):
        name, _, url = told.partition("=")
        roots: dict[str, list[int]] = {}
        for role, _, pid in (part.partition("=") for part in of.split(",") if part):
            roots.setdefault(role, []).append(psutil.Process(int(pid)).pid)
        peers.append(Subject(name, url, requests.read(file), roots, arguments.peer_expects))
    return peers


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """All figures, and the texts of the sections."""
    plan, wanted = _plan(arguments), arguments.scenarios or _all(arguments.quick)
    occasion = report.occasion(" ".join(["python -m bench", *sys.argv[1:]]))
    results: dict[str, Any] = {"machine": report.machine(), "occasion": occasion}
    sections: dict[str, str] = {}
    if set(wanted) & set(IN_THE_LAB):
        with Lab(DIRECTORY / "lab") as lab:
            _in_the_lab(lab, plan, wanted, results, sections)
    if "views" in wanted:
        _say("views")
        results["views"], results["layers"] = costs, layers = views.run(plan, _say)
        sections["views"] = f"{report.view_table(costs)}\n\n{report.layer_table(layers)}"
    if "collector" in wanted:
        _say("collector")
        results["collector"] = pause = collector.run(plan, _say)
        sections["collector"] = report.collector_table(pause)
    if "reserve" in wanted:
        rows, idle = reserve.run(DIRECTORY / "system", plan, _variants(arguments), _peers(arguments), _say)
        results["reserve"], results["idle"] = rows, idle
        sections["reserve"] = "\n\n".join([report.closed_table(rows), report.idle_line(idle), report.open_table(rows)])
    if set(wanted) & set(ON_A_SYSTEM):
        with System(DIRECTORY / "system") as system:
            if "verbs" in wanted:
                results["verbs"] = rows = verbs.run(system, plan, _say)
                sections["verbs"] = report.closed_table(rows)
            if "profile" in wanted:
                _say("profile")
                results["profile"] = seen = profile.run(system, plan, _say)
                sections["profile"] = report.profile_table(seen)
            if "confirm" in wanted:
                results["confirm"] = confirmed = confirm.run(system, plan, _say)
                sections["confirm"] = report.confirm_table(confirmed)
            if "pipeline" in wanted:
                results["pipeline"] = carried = pipeline.run(system, plan, _say)
                sections["pipeline"] = report.pipeline_table(carried)
            if "cycles" in wanted:
                _say("cycles")
                results["cycles"] = held = cycles.run(system, plan, arguments.cycles, _say)
                sections["cycles"] = report.cycles_table(held)
    told = {name: f"{text}\n\n{occasion}" for name, text in sections.items()}
    return results, {"machine": f"{results['machine']}.", **told}


def _draw(results: Mapping[str, Any]) -> None:
    if "reserve" in results:
        plots.processor_time(results["reserve"], report.PLOTS / "reserve.png")
        plots.latency(results["reserve"], report.PLOTS / "latency.png")
    if "growth" in results:
        plots.growth(results["growth"], report.PLOTS / "growth.png")


def _in_the_lab(lab: Lab, plan: Plan, wanted: Sequence[str], results: dict[str, Any], sections: dict[str, str]) -> None:
    if "client" in wanted:
        _say("client")
        results["client"] = cost = client.run(lab, plan, _say)
        sections["client"] = report.client_table(cost)
    if "scripts" in wanted:
        _say("scripts")
        results["scripts"] = costs = scripts.run(lab, plan, _say)
        sections["scripts"] = report.script_table(costs)
    if "growth" in wanted:
        _say("growth")
        results["growth"] = grown = growth.run(lab, plan, _say)
        sections["growth"] = report.growth_table(grown)


def main() -> int:
    arguments = _arguments()
    interruption.install()
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    try:
        results, sections = _measure(arguments)
    except Interrupted:
        return 130
    except (DevError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    for name, text in sections.items():
        print(f"\n{name}\n\n{text}")
    print(f"\n{report.keep(DIRECTORY, results)} has every figure")
    if arguments.write:
        report.write(sections)
        _draw(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
