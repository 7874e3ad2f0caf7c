"""Does a trust level mean the same for a single fit as for one of a selection, and the same with a prior?

    python alone.py --reference DIR [--seeds 0,1,2] [--out alone.json]

The levels were measured (`run.py`) for selections over K, in which the fits beside a cell are split and merged for it, and by maximum
likelihood. Here every cell is also searched alone, as `fit` does, and everything once more with `prior="fraley-raftery"`. Best known is
the highest objective (log-likelihood and log-prior) of all these and of a long search (100 restarts, 20 finalists, all K). A result is
*beaten* when that is more than 0.05 nats higher. Spurious fits are left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform

import jax
import pandas as pd
from run import rates

import jaxem


DATA = (
    "acidity",
    "faithful",
    "galaxies_fixed",
    "iris",
    "diabetes",
    "sim_separated_k5",
    "sim_tiny_clusters_k4",
    "sim_overlapping_k3",
    "sim_unequal_weights_k3",
)
FAMILIES = ("EEE", "VVV", "VEV", "VVI")
OF_ONE_COLUMN = ("E", "V")
COMPONENTS = range(2, 7)
WAYS = {
    "by replicated": ("search", "stable", "replicated"),
    "by replicated and prior": ("prior", "search", "stable", "replicated"),
    "by replicated and improved": ("search", "stable", "replicated", "improved"),
}


def outcomes(frame: pd.DataFrame, seeds: list[int], prior: str | None) -> list[dict]:
    """One record for each cell, seed and way to search."""
    families = FAMILIES if frame.shape[1] > 1 else OF_ONE_COLUMN
    beside = range(1, COMPONENTS.stop + 1)
    long = jaxem.select(frame, families, beside, prior=prior, seed=1000, num_restarts=100, num_finalists=20)
    found = [("selection", seed, jaxem.select(frame, families, beside, prior=prior, seed=seed)) for seed in seeds]
    found += [("alone", seed, jaxem.select(frame, families, k, prior=prior, seed=seed)) for seed in seeds for k in COMPONENTS]
    fits = [(how, seed, cell, fit) for how, seed, each in [("long", 0, long), *found] for cell, fit in each.fits.items()]
    sound = [told for told in fits if told[2][1] in COMPONENTS and not told[3].spurious and not told[3].status.failed]
    known: dict[tuple[str, int], float] = {}
    for _, _, cell, fit in sound:
        known[cell] = max(known.get(cell, -float("inf")), fit.history[-1])
    return [
        {
            "search": how,
            "prior": prior or "none",
            "family": cell[0],
            "num_components": cell[1],
            "seed": seed,
            "replicated": fit.replicated,
            "improved": fit.improved,
            "stable": fit.stable,
            "short": float(known[cell] - fit.history[-1]),
        }
        for how, seed, cell, fit in sound
        if how != "long"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("alone.json"))
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    versions = {"jaxem": jaxem.__version__, "jax": jax.__version__, "python": platform.python_version()}
    records: list[dict] = []
    for name in DATA:
        frame = pd.read_csv(arguments.reference / "data" / f"{name}.csv").drop(columns="truth", errors="ignore")
        for prior in (None, "fraley-raftery"):
            records += [{"data": name, **record} for record in outcomes(frame, seeds, prior)]
        print(name, len(records), flush=True)
        summary = {way: rates(records, by) for way, by in WAYS.items()}
        report = {"data": DATA[: DATA.index(name) + 1], "summary": summary, "versions": versions}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
