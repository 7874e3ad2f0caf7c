"""How long 999 replicates of K = 2 against 3 take on Old Faithful: as lanes, as a loop of single fits, and in mclust.

    python experiments/uncertainty/lrt_timing.py

The loop calls `jaxem.fit` twice for each of 10 replicates, with as many starts as the lanes have, and is scaled to 999. mclust (if Rscript
has it) tests 1 against 2 and 2 against 3 with one start a fit; its seconds are those of both tests.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time

import jaxem
from jaxem.selection import bootstrap_lrt


HERE = pathlib.Path(__file__).parent
REPLICATES = 999
LOOP = 10


def timed(function):
    begun = time.perf_counter()
    value = function()
    return time.perf_counter() - begun, value


def lanes(data, family):
    first, test = timed(lambda: bootstrap_lrt(data, family, 2, REPLICATES))
    again, _ = timed(lambda: bootstrap_lrt(data, family, 2, REPLICATES, seed=1))
    facts = {"statistic": test.statistic, "p_value": test.p_value, "failed": test.num_failed}
    return {"seconds": round(first, 2), "seconds_again": round(again, 2), **facts}


def loop(data, family):
    null = jaxem.fit(data, family, 2)

    def both(seed):
        sample = null.sample(len(data), seed=seed)
        return [jaxem.fit(sample, family, k, num_restarts=10, num_finalists=3, moves=False, seed=seed) for k in (2, 3)]

    both(0)  # compiles
    seconds, _ = timed(lambda: [both(seed) for seed in range(1, LOOP + 1)])
    return {"seconds": round(seconds / LOOP * REPLICATES, 1), "measured_on": LOOP}


def mclust(data, family):
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "table.csv"
        data.to_csv(table, index=False)
        words = ["Rscript", str(HERE / "lrt.R"), str(table), family, str(REPLICATES)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=1200)
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": type(error).__name__}
    return json.loads(done.stdout)


def main():
    data = jaxem.datasets.load("faithful")
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()}
    results = {"about": {"replicates": REPLICATES, "jaxem": jaxem.__version__, **machine}}
    for family in ("VVV", "EEE"):
        row = {"lanes": lanes(data, family), "loop of single fits": loop(data, family), "mclust": mclust(data, family)}
        results[family] = row
        print(family, json.dumps(row), flush=True)
    (HERE / "lrt_timing.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
