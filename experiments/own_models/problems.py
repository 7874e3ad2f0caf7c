"""The data, the starts and what other software found: read from the folder of reference numbers."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import models
import numpy as np
import pandas as pd


WORDS = 500  # of a text that a motif begins at; the other software took all


class Problem(NamedTuple):
    """A model, its data, the starts (a leading axis) and what other software found."""

    name: str
    software: str
    model: Any
    starts: Any
    data: Any
    log_likelihood: float


def one(params: Any) -> Any:
    """A single start, in tuples of arrays or of lists of numbers."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, float)[None], params, is_leaf=lambda leaf: isinstance(leaf, list))


def blood_groups(folder: pathlib.Path) -> Iterator[Problem]:
    found = json.loads((folder / "genetics/abo.json").read_text())
    a, b, ab, o = counts = np.array([found["counts"][group] for group in ("A", "B", "AB", "O")], float)
    p, q, r = found["pA"], found["pB"], found["pO"]
    best = a * np.log(p**2 + 2 * p * r) + b * np.log(q**2 + 2 * q * r) + ab * np.log(2 * p * q) + o * np.log(r**2)
    yield Problem("blood groups", "VGAM", models.BloodGroups(), one(np.full(3, 1 / 3)), counts, best)


def haplotypes(folder: pathlib.Path) -> Iterator[Problem]:
    rng = np.random.default_rng(0)
    for name in ("hla_dqb_drb", "hla_dqb_drb_b"):
        found = json.loads((folder / f"haplo/{name}.json").read_text())
        rows = pd.read_csv(folder / f"data/haplo_{name}.csv").to_numpy().reshape(found["n"], -1, 2)
        number: dict[Any, int] = {}
        people = []
        for loci in rows.tolist():
            sums = [a + b for a, b in loci]
            picks = itertools.product(*loci)
            ways = {tuple(sorted((pick, tuple(np.subtract(sums, pick).tolist())))) for pick in picks}
            people.append([(number.setdefault(x, len(number)), number.setdefault(y, len(number))) for x, y in sorted(ways)])
        pairs = np.zeros((len(people), max(map(len, people)), 2), int)
        orders = np.zeros(pairs.shape[:2])
        for person, ways in enumerate(people):
            pairs[person, : len(ways)] = ways
            orders[person, : len(ways)] = [1 + (x != y) for x, y in ways]
        starts = np.concatenate([rng.dirichlet(np.full(len(number), evenness), 100) for evenness in (0.1, 0.3, 1.0, 5.0)])
        name, data = f"haplotypes, {len(found['loci'])} loci", (pairs, orders)
        yield Problem(name, "haplo.stats", models.Haplotypes(), starts, data, found["lnlike"])


def tomography(folder: pathlib.Path) -> Iterator[Problem]:
    for name in ("random", "random_background", "parallel_beam"):
        found = json.loads((folder / f"tomography/{name}.json").read_text())
        matrix = np.loadtxt(folder / found["system_matrix"].split()[0], delimiter=",")
        rows = pd.read_csv(folder / f"data/tomography_{name}_y.csv")
        data = matrix, rows["y"].to_numpy(float), rows["background"].to_numpy(float)
        start, name = np.ones((1, matrix.shape[1])), f"tomography, {name.replace('_', ' ')}"
        yield Problem(name, "L-BFGS-B", models.Tomography(matrix.sum(0)), start, data, found["loglik"])
        logarithms = models.TomographyInLogarithms(matrix.sum(0))
        yield Problem(f"{name}, in logarithms", "L-BFGS-B", logarithms, start, data, found["loglik"])


def motifs(folder: pathlib.Path) -> Iterator[Problem]:
    for name in ("synthetic_oops", "synthetic_zoops", "crp_oops", "crp_zoops"):
        found = json.loads((folder / f"motif/{name}.json").read_text())
        text = (folder / "data" / found["fasta"]).read_text()
        sequences = [np.array(["ACGT".index(x) for x in "".join(s.split("\n")[1:]).upper()]) for s in text.split(">")[1:]]
        width, background = found["width"], np.array(found["background"])
        longest = max(map(len, sequences))
        places = longest - width + 1
        letters, there = np.zeros((len(sequences), places, width), int), np.zeros((len(sequences), places), bool)
        for row, sequence in enumerate(sequences):
            windows = np.lib.stride_tricks.sliding_window_view(sequence, width)
            letters[row, : len(windows)], there[row, : len(windows)] = windows, True
        words = np.unique(letters[there], axis=0)
        words = words[np.random.default_rng(0).permutation(len(words))[:WORDS]]
        starts = 0.5 * np.eye(4)[words] + 0.5 * background, np.full(len(words), 0.5)
        outside = sum(np.log(background[sequence]).sum() for sequence in sequences)
        model = models.Motif(background, found["mode"] == "oops")
        windows = np.eye(4)[letters].reshape(*there.shape, 4 * width) * there[..., None]
        best = found["loglik_best_over_all_Wmer_starts"]
        yield Problem(f"motif, {name.replace('_', ' ')}", "L-BFGS", model, starts, (windows, there, outside), best)


def latent_classes(folder: pathlib.Path) -> Iterator[Problem]:
    rng = np.random.default_rng(0)
    for path in sorted((folder / "lca").glob("*.json")):
        found = json.loads(path.read_text())
        file = path.stem.split("_")[0].replace("votes", "votes84")
        rows = pd.read_csv(folder / f"data/{file}.csv")[found["columns"]]
        rows = rows if found["has_missing"] else rows.dropna()
        k, most = found["k"], max(found["n_categories"])
        x = (rows.to_numpy()[:, :, None] == np.arange(most)).astype(float)
        exists = np.arange(most) < np.array(found["n_categories"])[:, None]
        probs = rng.dirichlet(np.ones(most), (found["n_starts"], k, len(exists))) * exists
        starts = np.full((found["n_starts"], k), 1 / k), probs / probs.sum(-1, keepdims=True)
        name = f"latent classes, {path.stem.replace('_', ' ')}"
        yield Problem(name, "StepMix", models.LatentClasses(), starts, x, found["loglik_polished"])


def gammas(folder: pathlib.Path) -> Iterator[Problem]:
    for name in ("eruptions", "waiting"):
        found = json.loads((folder / f"mixtools/gammamix_faithful_{name}.json").read_text())
        start = one(tuple(found["start"][part] for part in ("pro", "shape", "scale")))
        x = np.array(found["x"], float)
        yield Problem(f"gamma mixture, {name}", "mixtools", models.GammaMixture(), start, x, found["loglik"])


def students(folder: pathlib.Path) -> Iterator[Problem]:
    for path in sorted((folder / "student").glob("*.json")):
        found = json.loads(path.read_text())
        rows = pd.read_csv(folder / "data" / found["data"]).drop(columns="part").to_numpy()
        for which, fit in found["fits"].items():
            start = [np.array(found["start"][part], float) for part in ("pro", "mean", "scale")]
            how = which if which in ("common", "free") else "fixed"
            dof = np.full(found["K"], 10.0 if how != "fixed" else float(which))
            name = f"t mixture, {path.stem.replace('_', ' ')}, dof {which}"
            yield Problem(name, "BFGS, Newton", models.StudentMixture(how), one((*start, dof)), rows, fit["loglik"])


def regressions(folder: pathlib.Path) -> Iterator[Problem]:
    for path in sorted((folder / "mixreg").glob("*.json")):
        found = json.loads(path.read_text())
        rows = pd.read_csv(folder / f"data/mixreg_{path.stem}.csv")
        z = rows[found["columns"]].to_numpy(float)
        y = rows["success" if found["family"] == "binomial" else "y"].to_numpy(float)
        counted = found["family"] == "binomial"
        trials = (rows["success"] + rows["failure"]).to_numpy(float) if counted else np.ones_like(y)
        for key, fit in found.items():
            if "regmixEM" in key:
                start, common = fit["start"], key.endswith("equalvar")
                sd = np.broadcast_to(start.get("sigma", 1.0), found["k"])
                params = one((start["pro"], start["coef"], sd))
                name = f"regressions, {path.stem.replace('_', ' ')}{', one sd' * common}"
                model = models.RegressionMixture(found["family"], common)
                yield Problem(name, "mixtools", model, params, (z, y, trials), fit["loglik"])


def hidden_markov(folder: pathlib.Path) -> Iterator[Problem]:
    columns = {"earthquakes": ["count"], "geyser": ["waiting", "duration"], "geyser_long": ["long"], "lynx": ["lynx"]}
    for path in sorted((folder / "hmm").glob("*.json")):
        found = json.loads(path.read_text())
        file = next(name for name in ("geyser_long", "geyser", "earthquakes", "lynx") if path.stem.startswith(name))
        rows = pd.read_csv(folder / f"data/{file}.csv")[columns[file]].to_numpy(float)
        rows = np.log10(rows) if file == "lynx" else rows
        lengths = found["lengths"]
        x, there = np.zeros((len(lengths), max(lengths), rows.shape[1])), np.zeros((len(lengths), max(lengths)), bool)
        for sequence, (end, length) in enumerate(zip(np.cumsum(lengths), lengths, strict=True)):
            x[sequence, :length], there[sequence, :length] = rows[end - length : end], True
        kind, start = found["family"].split()[0], found["start"]
        if kind == "poisson":
            emission: Any = start["lambdas"]
        elif kind == "categorical":
            emission = start["emissionprob"]
        else:
            covariances = np.array(start["covars"])
            emission = start["means"], covariances if covariances.ndim == 3 else covariances[..., None] * np.eye(rows.shape[1])
        params = one((start["startprob"], start["transmat"], emission))
        if (
            kind == "categorical"
        ):  # the start is next to a saddle: hmmlearn takes 15,125 steps from it, and a stopping rule ends there
            draw = np.random.default_rng(0).dirichlet
            more = [draw(np.ones(leaf.shape[-1]), (19, *leaf.shape[1:-1])) for leaf in params]
            params = tuple(np.concatenate(both) for both in zip(params, more, strict=True))
        name = f"hidden Markov, {path.stem.replace('_', ' ')}"
        yield Problem(name, "hmmlearn", models.HiddenMarkov(kind), params, (x, there), found["loglik"])


ALL = blood_groups, haplotypes, tomography, motifs, latent_classes, gammas, students, regressions, hidden_markov
