"""What a fit says of rows: their densities, missing cells and new ones. Imports layers 0 to 2, padding, resampling and tabular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from . import tabular
from ._compiler import quick_jit
from ._parts import parts
from ._precision import precision, random_key
from .padding import pad_data, take
from .patterns import Patterned, as_seen, everywhere, in_order
from .protocol import Data
from .resampling import rows_from


if TYPE_CHECKING:
    from .density import Density

COMPONENTS = 4  # programs are compiled for multiples of it, so that fits of similar size share one
DRAWN = (64, 256, 1024, 4096)  # rows that programs draw: compiling one takes longer than drawing some too many


def log_prob(family: Any, components: Any, rows: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """Log-density of rows (n, d) under every component, of the cells that are there, shape (k, n), float64.

    Raises:
        ValueError: if cells are missing and the family takes complete rows only.
    """
    several = _several(components)
    out = np.empty((_count(components), len(rows)))
    with precision(np.float64):
        for some in parts(len(rows)):
            here = rows[some]
            out[:, some] = np.asarray(_log_prob(family, several, _on_device(here, family, columns)))[: len(out), : len(here)]
    return out


def prepare(family: Any, rows: np.ndarray, columns: tuple[str, ...]) -> None:
    """Compile beside other work what `log_prob` will call for complete rows and a fit of few components, as most that are chosen are."""
    components = family.reference(COMPONENTS, rows.shape[1], np.float64)
    with precision(np.float64):
        _log_prob.ahead(family, components, _on_device(rows[next(iter(parts(len(rows))))], family, columns))


def impute(fit: Density, x: Any, num_draws: int | None, seed: Any) -> np.ndarray:
    """See `Fit.impute`."""
    rows = fit.rows(x, missing=True)
    fit._check(rows)
    family, components = fit._components()
    _require_seen(family, rows, fit.columns)
    count = None if num_draws is None else tabular.count("num_draws", num_draws)
    rngs = np.random.default_rng(tabular.seed_words(seed)).spawn(count or 0)  # each draw has its own
    out = np.tile(rows, (1 if count is None else count, 1, 1))
    incomplete = np.flatnonzero(np.isnan(rows).any(axis=1))
    with precision(np.float64):
        for some in parts(len(incomplete)):  # filled in under every component, all rows may not fit into memory
            which = incomplete[some]
            here = rows[which]
            gone, resp, data = np.isnan(here), fit.predict_proba(here), _on_device(here, family, fit.columns)
            if count is None and hasattr(family, "likeliest"):
                out[0, which] = np.where(gone, family.likeliest(components, resp), here)
            elif count is None:
                each = np.asarray(_completed(family, components, data))[..., : len(here)]
                if fit.noise is not None:
                    each = np.concatenate([each, np.broadcast_to(fit.noise.middle[None, :, None], each[:1].shape)])
                out[0, which] = np.where(gone, np.einsum("nk,kdn->nd", resp, each), here)
            for rng, drawn in zip(rngs, out, strict=False):
                key = random_key(rng.integers(2**31))
                each = np.asarray(_drawn(family, key, components, data))[..., : len(here)]
                each = each if fit.noise is None else np.concatenate([each, fit.noise.sample(rng, len(here)).T[None]])
                own = (resp.cumsum(1) < rng.random((len(here), 1))).sum(1).clip(max=resp.shape[1] - 1)
                drawn[which] = np.where(gone, each[own, :, np.arange(len(here))], here)
    return out[0] if count is None else out


def sample(family: Any, components: Any, key: Any, labels: np.ndarray) -> np.ndarray:
    """A row (d,) for each label, drawn from the component that it names, shape (n, d), float64. Call within float64."""
    several, pieces, out = _several(components), list(parts(len(labels), DRAWN[-1])), []
    keys = [key] if len(pieces) == 1 else jax.random.split(key, len(pieces))
    for own, some in zip(keys, pieces, strict=True):
        here = labels[some]
        room = np.pad(here, (0, next(size for size in DRAWN if size >= len(here)) - len(here)))
        rows = np.asarray(rows_from(family, own, several, room), dtype=np.float64)
        out.append(rows.T[: len(here)])
    return np.concatenate(out)


def _several(components: Any) -> Any:
    """Params of so many components as programs are compiled for; those beyond the last one are copies of the first."""
    k = _count(components)
    return take(components, np.arange(-(-k // COMPONENTS) * COMPONENTS) % k)


def _count(components: Any) -> int:
    return len(jax.tree.leaves(components)[0])


def _on_device(rows: np.ndarray, family: Any, columns: tuple[str, ...]) -> Data | Patterned:
    """Rows (n, d), complete or not."""
    weight = np.ones(len(rows))
    if not np.isnan(rows).any():
        return pad_data(rows.T, weight, np.float64)
    _require_seen(family, rows, columns)
    return pad_data(rows.T, weight, np.float64, filled=np.nan_to_num(rows.T), coarse=True)


def _require_seen(family: Any, rows: np.ndarray, columns: tuple[str, ...]) -> None:
    """Refuse missing cells where the family takes complete rows only."""
    if not hasattr(family, "observed"):
        tabular.Table(rows, np.ones(len(rows)), columns).require_complete(f"family {family.name!r}")


@quick_jit()
def _log_prob(family: Any, components: Any, data: Any) -> Any:
    return everywhere(lambda rows: as_seen(family, components, rows).log_prob(components, rows.x), data)


@jax.jit
def _completed(family: Any, components: Any, data: Any) -> Any:
    """Rows with conditional means in the place of missing cells, under each component, shape (k, d, n)."""

    def completed(rows):
        if rows.missing is None:
            return _as_it_is(components, rows)
        return family.observed(components, rows.missing).completed(components, rows.x)

    return everywhere(completed, data)


@jax.jit
def _drawn(family: Any, key: Any, components: Any, data: Any) -> Any:
    """Rows with draws in the place of missing cells, under each component, shape (k, d, n)."""
    if isinstance(data, Data):
        return _as_it_is(components, data)

    def drawn(key, rows):
        return family.observed(components, rows.missing).drawn(key, components, rows.x)

    keys = jax.random.split(key, len(data.tiles.weight))
    return in_order(_as_it_is(components, data.whole), jax.vmap(drawn)(keys, data.tiles), data)


def _as_it_is(components: Any, rows: Data) -> Any:
    """Complete rows, once for each component."""
    return jnp.broadcast_to(rows.x, (_count(components), *rows.x.shape))
