"""How long does jaxem take, and how long what a user would pick instead, for the same work, on the same machine, in one run?

    python run.py [--rows 1,2,3,4,5,6,7] [--quick] [--peers PYTHON] [--em4gmm PATH] [--out results.json]

1. K = 1..10, 10 restarts each, full covariances, 20,000 × 8: scikit-learn.
2. The same, 272 × 2 (faithful).
3. Every structure jaxem has × K = 1..9, 272 × 2: 20 restarts of ours, one start of mclust's.
4. The same, 5,000 × 4.
5. One fit, 65,536 × 32, K = 64, full, 20 steps from a given start: scikit-learn, gmmx, pomegranate; the share of the matrix-product rate.
6. One fit, 100,000 × 10, K = 16, diagonal, 50 steps from a given start: scikit-learn, em4gmm (its own start).
7. Scaling with rows, K and restarts, full covariances, 8 columns; memory for 2,000,000 × 8, K = 1..10, 10 restarts.

Every measurement is a process of its own, one at a time. In it the work is done once (`first`), then again (`seconds`, `median`): the
difference is compilation. `process` is a whole process, from the shell's point of view: reading a CSV file, imports, compilation, work.
scikit-learn and mclust keep their defaults (scikit-learn: tol 1e-3 of the mean log-likelihood, at most 100 steps); scikit-learn is run
with one thread and with all cores, by OMP_NUM_THREADS and OPENBLAS_NUM_THREADS, and the better one counts; jaxem with one CPU device and
with one a core, by JAX_NUM_CPU_DEVICES, likewise (the command takes one a core by itself). jaxem keeps its own, much stricter tol. In
rows 1 to 4 it runs without moves (equal work) and with them (the default); log-likelihoods are compared cell by cell.
gmmx and pomegranate are looked for in PYTHON. What is missing, fails or takes too long stays in the results, with the reason.

Simulated data: `jaxem.datasets.gaussian_mixture` with separation 3 and fixed seeds. Rows not asked for stay in the file as they were, each
with its own versions and commit. `--quick` uses tiny sizes, to see that everything works; its file has `"quick": true`.
`python figure.py` draws the figures from the JSON, `python table.py` prints it as Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gzip
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from bench import (
    HERE,
    QUICK,
    Bench,
    Sizes,
    best,
    compare_fits,
    compare_selections,
    task_command,
    thread_choices,
    thread_variables,
)

import jaxem


SEPARATION = 3.0
EM4GMM_QUOTED = 0.63  # seconds for row 6 with two threads on another such machine, quoted from when row 6 was set


def _ours(bench: Bench, data: str, families: Any, most: int, restarts: int) -> list[dict[str, Any]]:
    """Warm: without moves, with them on as many devices, and without them on the other number of devices."""
    work = {"data": data, "families": families, "components": list(range(1, most + 1)), "restarts": restarts, **bench.often}
    fastest, *others = bench.ours("jaxem_select", **work, moves=False)
    moves = bench.task("jaxem_select", devices=fastest["devices"], **work, moves=True)
    return [fastest, {"who": "jaxem, moves", "devices": fastest["devices"], **moves}, *others]


def select_against_sklearn(bench: Bench, x: np.ndarray) -> dict[str, Any]:
    """Rows 1 and 2."""
    (data, table), most, restarts = bench.save("table", x), bench.sizes.most, 10
    work = {"components": list(range(1, most + 1)), "restarts": restarts}
    records = _ours(bench, data, "VVV", most, restarts)
    for threads in thread_choices():
        found = bench.task("sklearn_select", threads=threads, data=data, **work, **bench.often)
        records.append({"who": f"scikit-learn, threads {threads}", "threads": threads, **found})
    peer = best(records, "scikit-learn")
    commands = bench.commands(x, table, "VVV", most, restarts)
    if peer:
        once = task_command("sklearn_select", data=table, **work, repeats=0, budget=0)
        commands[f"{peer['who']}, process"] = once, thread_variables(peer["threads"])
    records += bench.processes(commands)
    about = {"shape": x.shape, **work, "families": ["VVV"]}
    return {**about, "records": records, "compared": compare_selections(records, peer)}


def select_against_mclust(bench: Bench, x: np.ndarray) -> dict[str, Any]:
    """Rows 3 and 4."""
    (data, table), most, restarts = bench.save("table", x), min(bench.sizes.most, 9), 20
    names = [family.name for family in jaxem.families.resolve("gaussian", x.shape[1])]
    records = _ours(bench, data, names, most, restarts)
    words = ["Rscript", str(HERE / "mclust.R"), table, ",".join(names), str(most)]
    found = bench.call([*words, str(bench.sizes.repeats), str(bench.sizes.budget)])
    records.append({"who": "mclust", **found})
    commands = bench.commands(x, table, ",".join(names), most, restarts)
    if "median" in found:
        commands["mclust, process"] = [*words, "0", "0"], {}
    records += bench.processes(commands)
    about = {"shape": x.shape, "components": list(range(1, most + 1)), "restarts": restarts, "families": names}
    return {**about, "records": records, "compared": compare_selections(records, best(records, "mclust"))}


def _start(sample: Any, diagonal: bool) -> dict[str, np.ndarray]:
    """Moments of the true components after half of the rows, drawn at random, have been given to any component at random."""
    (n, d), k, rng = sample.x.shape, len(sample.weights), np.random.default_rng(0)
    labels = np.where(rng.random(n) < 0.5, sample.labels, rng.integers(k, size=n))
    groups = [sample.x[labels == j] for j in range(k)]
    covariances = np.array([np.cov(group.T) for group in groups]) * (np.eye(d) if diagonal else 1)
    weights = np.array([len(group) for group in groups]) / n
    return {
        "x": sample.x,
        "weights": weights,
        "means": np.array([group.mean(0) for group in groups]),
        "covariances": covariances,
    }


def _fits(bench: Bench, shape: tuple[int, int, int, int], code: str, kind: str) -> tuple[np.ndarray, dict[str, Any], list[Any]]:
    """Ours and scikit-learn's, from one start."""
    n, d, k, steps = shape
    sample = jaxem.datasets.gaussian_mixture(n, k, d, separation=SEPARATION, seed=5)
    path = str(bench.folder / "start.npz")
    np.savez(path, **_start(sample, kind == "diag"))
    work = {"data": path, "kind": kind, "steps": steps, **bench.often}
    records = bench.ours("jaxem_fit", data=path, family=code, steps=steps, **bench.often)
    for threads in thread_choices():
        records.append({"who": f"scikit-learn, threads {threads}", **bench.task("sklearn_fit", threads=threads, **work)})
    return sample.x, work, records


def one_full_fit(bench: Bench) -> dict[str, Any]:
    """Row 5."""
    n, d, k, steps = bench.sizes.full
    _, work, records = _fits(bench, bench.sizes.full, "VVV", "full")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    work |= {"python": bench.peers, "limit": bench.sizes.limit, "memory_limit": memory}
    records.append({"who": "gmmx", **bench.task("gmmx_fit", **work)})
    for dtype, threads in [("float32", threads) for threads in thread_choices()] + [("float64", 1)]:
        found = bench.task("pomegranate_fit", dtype=dtype, threads=threads, **work)
        records.append({"who": f"pomegranate, {dtype}, threads {threads}", **found})
    rate, ours, share = bench.task("rate")["float64"], records[0], {}
    operations = 4 * n * (1 + d + d * (d + 1) // 2) * k
    if "median" in ours:
        share["of the whole call"] = operations * steps / ours["median"] / rate
        share["of a further step"] = operations / ours["step"] / rate
    about = {"shape": [n, d], "components": k, "steps": steps, "families": ["VVV"], "operations a step": operations}
    compared = compare_fits(records, ["scikit-learn", "gmmx", "pomegranate"])
    return {**about, "records": records, "compared": compared, "share of the matrix-product rate": share}


def one_diagonal_fit(bench: Bench) -> dict[str, Any]:
    """Row 6."""
    n, d, k, steps = bench.sizes.diagonal
    x, _, records = _fits(bench, bench.sizes.diagonal, "VVI", "diag")
    records.append({"who": "em4gmm, its own start", **_em4gmm(bench, x, k, steps)})
    about = {"shape": [n, d], "components": k, "steps": steps, "families": ["VVI"], "em4gmm's seconds, quoted": EM4GMM_QUOTED}
    return {**about, "records": records, "compared": compare_fits(records, ["scikit-learn", "em4gmm"])}


def _em4gmm(bench: Bench, x: np.ndarray, k: int, steps: int) -> dict[str, Any]:
    """The seconds of `steps` steps without those of reading the file; log-likelihood to the 0.001 nats a row that it prints."""
    if bench.em4gmm is None:
        return {"status": "skipped: no binary given"}
    path = str(bench.folder / "em4gmm.gz")
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(f"{x.shape[1]} {len(x)}\n")
        np.savetxt(file, x, fmt="%.9f")
    words = [bench.em4gmm, "-d", path, "-m", f"{path}.gmm", "-n", str(k), "-s", "0", "-t", str(os.cpu_count())]

    def once(most: int) -> tuple[float, list[str]]:
        began = time.perf_counter()
        said = subprocess.run([*words, "-i", str(most)], capture_output=True, text=True, check=True).stdout
        return time.perf_counter() - began, re.findall(r"ln\(likelihood\)=\((\S+)\)", said)

    try:
        reading = statistics.median(once(1)[0] for _ in range(bench.sizes.repeats))
        whole = [once(steps + 1) for _ in range(bench.sizes.repeats)]
    except (OSError, subprocess.CalledProcessError) as error:
        return {"status": f"error: {type(error).__name__}"}
    values, taken = whole[0][1], [seconds - reading for seconds, _ in whole]
    about = {"status": "done", "steps": len(values) - 1, "log_likelihood": float(values[-1]) * len(x), "dtype": "float64"}
    return {**about, "seconds": taken, "median": statistics.median(taken), "threads": os.cpu_count()}


def scaling(bench: Bench) -> dict[str, Any]:
    """Row 7."""
    sizes = bench.sizes
    rows, components, restarts = sizes.scale_at
    at = {"rows": rows, "components": components, "restarts": restarts}
    ways = {"rows": sizes.scale_rows, "components": sizes.scale_components, "restarts": sizes.scale_restarts}
    points = [{"along": way, **at, way: value} for way, values in ways.items() for value in values]
    often = {"repeats": min(sizes.repeats, 3), "budget": sizes.budget}
    records = [{"who": "jaxem", **bench.task("jaxem_scaling", points=points, **often)}]
    x = jaxem.datasets.gaussian_mixture(sizes.many_rows, 10, 8, separation=SEPARATION, seed=7).x
    path = str(bench.folder / "many.npy")
    np.save(path, x)
    components = list(range(1, sizes.most + 1))
    for who, moves in (("jaxem, memory", False), ("jaxem, moves, memory", True)):
        work = {"families": "VVV", "components": components, "restarts": 10, "moves": moves, "repeats": 0, "budget": 0}
        records.append({"who": who, **bench.task("jaxem_select", data=path, **work)})
    return {"at": at, "many rows": x.shape, "components": [1, sizes.most], "records": records}


def simulated(rows: int, columns: int, components: int) -> np.ndarray:
    return jaxem.datasets.gaussian_mixture(rows, components, columns, separation=SEPARATION, seed=1).x


def faithful() -> np.ndarray:
    return jaxem.datasets.load("faithful").to_numpy()


ROWS = {
    "1": lambda bench: select_against_sklearn(bench, simulated(bench.sizes.rows, 8, 6)),
    "2": lambda bench: select_against_sklearn(bench, faithful()),
    "3": lambda bench: select_against_mclust(bench, faithful()),
    "4": lambda bench: select_against_mclust(bench, simulated(bench.sizes.rows_of_4, 4, 5)),
    "5": one_full_fit,
    "6": one_diagonal_fit,
    "7": scaling,
}


def provenance(bench: Bench) -> dict[str, Any]:
    """Machine, rate, commit and load, without names of people or folders."""

    def git(*words: str) -> str:
        if shutil.which("git") is None:
            return ""
        return subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True).stdout.strip()

    changed = " and changes" if git("status", "--porcelain", "--", ":/jaxem") else ""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return {
        "commit": (git("rev-parse", "HEAD") or "unknown") + changed,
        "date": datetime.date.today().isoformat(),
        "processor": (names or [platform.machine()])[0],
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load before": os.getloadavg()[0],
        "matrix-product rate": bench.task("rate"),
    }


def show(row: str, result: dict[str, Any]) -> None:
    wanted = ("first", "median", "process", "step", "log_likelihood", "useful share of lane steps", "memory")
    for record in result["records"]:
        facts = {name: record[name] for name in wanted if name in record}
        print(f"{row}: {record['who']}: {facts if record['status'] == 'done' else record['status']}", flush=True)
    for name in ("compared", "share of the matrix-product rate"):
        print(f"{row}: {name}: {result.get(name)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes; nothing is written without --out")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="one that has gmmx and pomegranate")
    parser.add_argument("--em4gmm", metavar="PATH", help="em4gmm's gmmtrain")
    parser.add_argument("--out", type=pathlib.Path)
    given = parser.parse_args()
    sizes = QUICK if given.quick else Sizes()
    out = given.out or (None if given.quick else HERE / "results.json")
    report = json.loads(out.read_text()) if out and out.exists() else {}
    if report.get("quick") != given.quick:
        report = {"quick": given.quick, "sizes": dataclasses.asdict(sizes), "rows": {}}
    for row in given.rows.split(","):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(sizes, given.peers, given.em4gmm, pathlib.Path(folder))
            result = {"provenance": provenance(bench), **ROWS[row](bench)}
        show(row, result)
        report["rows"] = dict(sorted((report["rows"] | {row: result}).items()))
        if out:
            out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
