"""How run.py measures: every measurement a process of its own, one at a time; and how log-likelihoods are compared."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np


HERE = pathlib.Path(__file__).parent
CLEARED = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "XLA_FLAGS",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_NUM_CPU_DEVICES",
    "PYTHONDONTWRITEBYTECODE",  # what is installed has its bytecode beside it
)
Commands = dict[str, tuple[list[str], dict[str, str]]]  # words and environment, by who it is
LEAST = 0.5  # nats a cell may be below the peer's and still count as equal


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the work is, and how patient to be."""

    rows: int = 20_000
    most: int = 10
    rows_of_4: int = 5_000
    full: tuple[int, int, int, int] = (65_536, 32, 64, 20)  # rows, columns, components, steps
    diagonal: tuple[int, int, int, int] = (100_000, 10, 16, 50)
    scale_rows: tuple[int, ...] = (2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000)
    scale_components: tuple[int, ...] = (2, 4, 8, 16, 32)
    scale_restarts: tuple[int, ...] = (5, 10, 20, 40, 80)
    scale_at: tuple[int, int, int] = (20_000, 8, 10)  # rows, components, restarts
    many_rows: int = 2_000_000
    repeats: int = 5
    processes: int = 3
    budget: float = 30.0  # seconds of one measurement after which no repeat is begun
    limit: float = 120.0  # seconds after which gmmx and pomegranate are stopped


QUICK = Sizes(
    rows=600,
    most=3,
    rows_of_4=300,
    full=(4096, 8, 8, 20),
    diagonal=(5000, 5, 4, 50),
    scale_rows=(500, 1000),
    scale_components=(2, 4),
    scale_restarts=(5, 10),
    scale_at=(500, 2, 5),
    many_rows=100_000,
    repeats=2,
    processes=1,
    budget=5.0,
    limit=30.0,
)


class Bench:
    """Runs measurements and says what came of them.

    Args:
        sizes: How large the work is.
        peers: An interpreter that has gmmx and pomegranate.
        em4gmm: em4gmm's `gmmtrain`, or None.
        folder: Where data may lie.
    """

    def __init__(self, sizes: Sizes, peers: str, em4gmm: str | None, folder: pathlib.Path):
        self.sizes, self.peers, self.em4gmm, self.folder = sizes, peers, em4gmm, folder
        self.often = {"repeats": sizes.repeats, "budget": sizes.budget}
        self.environment = {name: value for name, value in os.environ.items() if name not in CLEARED}

    def save(self, name: str, x: np.ndarray) -> tuple[str, str]:
        """The rows as .npy and .csv."""
        array, table = self.folder / f"{name}.npy", self.folder / f"{name}.csv"
        np.save(array, x)
        np.savetxt(table, x, delimiter=",", header=",".join(f"x{j}" for j in range(x.shape[1])), comments="")
        return str(array), str(table)

    def call(self, command: list[str], limit: float = 3600, **environment: str) -> dict[str, Any]:
        """What a command prints as JSON, its status and its wall-clock seconds."""
        began = time.perf_counter()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=self.environment | environment)
        except subprocess.TimeoutExpired:
            return {"status": f"not finished after {limit:.0f} s"}
        except FileNotFoundError:
            return {"status": "skipped: not installed"}
        wall = time.perf_counter() - began
        if done.returncode:
            return {"status": _reason(done)}
        return {"status": "done", **json.loads(done.stdout[done.stdout.index("{") :]), "wall": wall}

    def task(
        self, name: str, limit: float = 3600, python: str = sys.executable, threads: int = 0, devices: int = 1, **given: Any
    ) -> dict[str, Any]:
        """A task of measure.py, with so many of JAX's CPU devices, and of BLAS's and OpenMP's threads or, at 0, as the packages please."""
        environment = {"JAX_NUM_CPU_DEVICES": str(devices), **thread_variables(threads)}
        found = self.call(task_command(name, python, **given), limit, **environment)
        print(f"  {name}: {found['status']}, {found.get('wall', limit):.0f} s", file=sys.stderr, flush=True)
        return found

    def ours(self, name: str, **given: Any) -> list[dict[str, Any]]:
        """A task of jaxem's with one CPU device and with one a core, as JAX_NUM_CPU_DEVICES asks for; the faster first."""
        found = []
        for devices in thread_choices():
            done = self.task(name, devices=devices, **given)
            found.append({"who": f"jaxem, devices {devices}", "devices": devices, **done})
        found.sort(key=lambda record: record.get("median", float("inf")))
        return [{**found[0], "who": "jaxem"}, *found[1:]]

    def processes(self, commands: Commands) -> list[dict[str, Any]]:
        """Whole processes, a round of all of them after the other, for the machine's speed drifts: their wall-clock seconds."""
        rounds = range(self.sizes.processes)
        done = [[self.call(command, **environment) for command, environment in commands.values()] for _ in rounds]
        return [{"who": who, **_walls(list(found))} for who, found in zip(commands, zip(*done, strict=True), strict=True)]

    def commands(self, x: np.ndarray, table: str, family: str, most: int, restarts: int) -> Commands:
        """The command cold, without any cache; and with a cache that a slightly shorter file of the same width has filled."""
        _, shorter = self.save("shorter", x[:-5])
        out: Commands = {}
        for who, moves in (("jaxem", "--no-moves"), ("jaxem, moves", "--moves")):
            words = ["--family", family, "--components", f"1:{most}", "--restarts", str(restarts), moves, "--json", "--quiet"]
            select = [sys.executable, "-m", "jaxem", "select", *words]
            kept = str(self.folder / f"cache{moves}")
            self.call([*select, shorter], XDG_CACHE_HOME=kept)
            out[f"{who}, no cache"] = [*select, table], {"JAXEM_CACHE": "off"}
            out[f"{who}, cached"] = [*select, table], {"XDG_CACHE_HOME": kept}
        return out


def _walls(done: list[dict[str, Any]]) -> dict[str, Any]:
    """The wall-clock seconds of calls of one command, or why there are none."""
    walls = [one["wall"] for one in done if one["status"] == "done"]
    if len(walls) < len(done):
        return {"status": next(one["status"] for one in done if one["status"] != "done")}
    return {"status": "done", "process": statistics.median(walls), "processes": walls}


def task_command(name: str, python: str = sys.executable, **given: Any) -> list[str]:
    """The words that run a task of measure.py."""
    return [python, str(HERE / "measure.py"), name, json.dumps(given)]


def thread_variables(threads: int) -> dict[str, str]:
    """The environment that asks for so many threads; 0 asks for nothing."""
    return {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)} if threads else {}


def thread_choices() -> list[int]:
    """One thread, and all cores."""
    return sorted({1, os.cpu_count() or 1})


def _reason(done: subprocess.CompletedProcess) -> str:
    """The last line of what went wrong, without paths."""
    if done.returncode < 0:
        return f"error: killed by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    missing = next((line for line in lines if "ModuleNotFoundError" in line or "no package called" in line), None)
    text = f"skipped: {missing}" if missing else f"error: {lines[-1]}"
    return re.sub(r"(/[\w.+-]+){2,}", "…", text)[:240]


def best(records: list[dict[str, Any]], start: str) -> dict[str, Any] | None:
    """The fastest of a package's records that were done."""
    done = [record for record in records if record["who"].startswith(start) and "median" in record]
    return min(done, key=lambda record: record["median"]) if done else None


def compare(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, Any]:
    """Log-likelihoods, ours less theirs, over the cells that both have."""
    gaps = {cell: ours[cell] - theirs[cell] for cell in theirs if cell in ours}
    return {
        "cells": len(gaps),
        "only ours": len(ours.keys() - theirs.keys()),
        "only theirs": len(theirs.keys() - ours.keys()),
        "least": min(gaps.values(), default=None),
        "worse by 0.5": {cell: gap for cell, gap in gaps.items() if gap < -LEAST},
        "better by 0.5": sum(gap > LEAST for gap in gaps.values()),
        "sum of gains": sum(gap for gap in gaps.values() if gap > 0),
    }


def compare_selections(records: list[dict[str, Any]], peer: dict[str, Any] | None) -> dict[str, Any]:
    """Ratios of seconds and log-likelihoods: ours, without and with moves, against a peer's; and with moves against without.

    Cells in which ours is spurious (next to singular, never chosen) are left out.
    """
    sound = [
        {cell: value for cell, value in ours["cells"].items() if cell not in ours["spurious"]} if "median" in ours else {}
        for ours in records[:2]
    ]
    out: dict[str, Any] = {}
    for ours, cells in zip(records, sound, strict=False):
        if peer and "median" in ours:
            out[ours["who"]] = {"peer": peer["who"], "ratio": peer["median"] / ours["median"], **compare(cells, peer["cells"])}
            out[ours["who"]]["ours spurious"] = len(ours["spurious"])
    if all("median" in ours for ours in records[:2]):
        out["moves against none"] = {"time": records[1]["median"] / records[0]["median"], **compare(sound[1], sound[0])}
    return out


def compare_fits(records: list[dict[str, Any]], peers: list[str]) -> dict[str, Any]:
    """Ratio of seconds and gain in nats of the first record against the fastest of every peer."""
    ours, out = records[0], {}
    for name in peers:
        peer = best(records, name)
        if peer and "median" in ours:
            gain = ours["log_likelihood"] - peer["log_likelihood"]
            out[name] = {"peer": peer["who"], "ratio": peer["median"] / ours["median"], "gain": gain}
    return out
