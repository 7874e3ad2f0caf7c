"""The two protocols that everything is built on, and the data they see. Imports layer 0 only.

A **latent-variable model** is what EM needs and nothing more; a **family** is one component of a mixture. Both are frozen
objects that hold hyperparameters; the estimates ("params") are a pytree of their own. Inside the package rows are the minor
axis: data are `(d, n)`, responsibilities `(k, n)`. A user's own model needs no import from here: any object with these methods
gets restarts (`restarts.run`), acceleration and chunks.

To add a family, write one file in `families/` with

1. a params pytree and a stats pytree, every leaf with the component axis `k` in front, the stats with a leaf `count`;
2. `log_prob`, `expected_stats` (a sum over rows) and `m_step` (for all components at once; a component without rows keeps its params);
3. `reference` (a crude finite point), `num_params`, `sample`;
4. `to_free` and `from_free`: the coordinates in which a step may be extrapolated; `complete`, for L-BFGS; `collapsed`;
5. what `fit` asks of it before and after, on the host: `name` and `standardise`, `check`, `bind`, `with_residuals`, `admissible`,
   `distance`, `publish` and `adopt`;
6. what is optional: `observed`, for rows that lack cells; and what `Family` has in a table;
7. its name in `families/__init__.py`, and a row in `tests/cases.py`: the laws run over it. `.github/CONTRIBUTING.md` goes through
   this step by step. A family of the user's own needs neither, but its class must be a pytree, registered with JAX.

A whole model in ten lines, run as a test: the rate of exponential waiting times of which some are censored (we only know that
they were longer). The missing times are the latent variables.

>>> import jax.numpy as jnp
>>> from jaxem import em
>>> class CensoredWaits:
...     def e_step(self, rate, data):
...         time, censored = data
...         expected = jnp.sum(time + censored / rate)                       # E[T | T > t] = t + 1/rate
...         log_likelihood = jnp.sum(jnp.where(censored, 0.0, jnp.log(rate)) - rate * time)
...         return (expected, jnp.sum(jnp.ones_like(time))), log_likelihood
...     def m_step(self, rate, stats):
...         return stats[1] / stats[0]
>>> data = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([0.0, 0.0, 1.0, 1.0])
>>> result = em.run(CensoredWaits(), jnp.array(1.0), data, tol=1e-6)
>>> round(float(result.params), 3)                                           # events / time at risk = 2 / 10
0.2
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import jax.numpy as jnp

from ._pytree import pytree
from ._typing import Array, Float, Int, Scalar


Params = TypeVar("Params")
Stats = TypeVar("Stats")


@pytree
class Data:
    """Rows and their weights, features first.

    A row of weight 0 is invisible: padding, chunk remainders and left-out folds are all rows of weight 0.

    Attributes:
        x: Rows, shape (d, n).
        weight: Weight of each row, shape (n,).
        label: Where some rows are known to come from a component: its number, or −1, shape (n,). None where nothing is known.
        missing: Numbers of the columns that none of these rows has, d for none, shape (q,); `x` is 0 there. None where all cells are
            there.
    """

    x: Float[Array, "... d n"]
    weight: Float[Array, "... n"]
    label: Int[Array, "... n"] | None = None
    missing: Int[Array, "... q"] | None = None


class LatentModel(Protocol[Params, Stats]):
    """What EM needs of a model: two steps. Six more methods are optional.

    | method                     | what it returns                                                                | without it |
    |----------------------------|--------------------------------------------------------------------------------|------------|
    | `log_prior(params)`        | a log-density to be added to the log-likelihood: EM then climbs to the MAP     | 0          |
    | `to_free(params)`          | coordinates without constraints, in which SQUAREM extrapolates                 | the params |
    | `from_free(free)`          | the params at such coordinates                                                 | the params |
    | `collapsed(params, stats)` | a bool: is this point degenerate? The run then ends as COLLAPSED               | never      |
    | `magnitude(stats)`         | nats of either sign that the log-likelihood sums: what rounding is measured by | 1          |

    A param that may come to be 0, a probability or a rate, is better its square root than its logarithm in free coordinates: the
    logarithm runs off at a constant speed, and the length of SQUAREM's step is then all its own. In emission tomography, where pixels
    come to be 0, SQUAREM takes 254 steps so, plain EM 4,421, and with logarithms 15,430 (`experiments/own_models`).

    The sixth, `complete`, only `quasi_newton.QuasiNewton` asks for: it is that of a `Family`.

    `magnitude` is added to the log-likelihood's own size, and what differs by less than 4 eps of that is taken for rounding. It
    matters where densities of either sign cancel, and in recursions: one over T steps rounds T times at the size of the whole, about
    √T |log-likelihood| together, e.g. from an entry of the statistics that is the log-likelihood. Without it a hidden Markov model in
    float32 wanders until plain EM has found no new peak in 100 steps, and SQUAREM until `max_steps`. Better take float64 there:
    float32 suits sums.
    """

    def e_step(self, params: Params, data: Any) -> tuple[Stats, Scalar]:
        """Expected sufficient statistics, a sum over rows, and the log-likelihood of `params`."""
        ...

    def m_step(self, params: Params, stats: Stats) -> Params:
        """The params that maximise (or at least raise) the expected log joint density; `params` is where to fall back to."""
        ...


class Family(Protocol[Params, Stats]):
    """The distribution of one component, for all components at once. It knows nothing of mixing weights, restarts or chunks.

    A family is a JAX pytree (a frozen record of hyperparameters, or a class registered with `jax.tree_util.register_static`), and so
    are its params and its stats (a NamedTuple is one). The methods above the line are called on the host, with NumPy arrays; those below
    it inside compiled code, and `sample` outside it too. All that are written out here are needed, `observed` apart.

    A family may have more. Under these names it must be what the table says; `residuals` is kept for Gaussian families.

    | name                                | what it is                                                           | without it       |
    |-------------------------------------|----------------------------------------------------------------------|------------------|
    | `check_rows(x, columns)`            | `check`, of rows to predict                                          | any will do      |
    | `log_joint(params, log_weights, x)` | log-weights (k,) added to `log_prob`, (k, n), in a quicker way       | they are added   |
    | `bounds`                            | between which values what it publishes lies                          | no bounds        |
    | `shareable`                         | whether several CPU devices may share the work                       | False            |
    | `smooth`                            | whether its part of the objective has a gradient everywhere          | True             |
    | `linear`                            | whether fits follow the data under every linear map                  | False            |
    | `full`                              | whether it has covariances that need not be diagonal                 | False            |
    | `likeliest(params, resp)`           | the best guess of every cell, (n, d), where no mean is one           | means            |
    | `embed(x)`                          | rows as points of which distances mean something, (e, n)             | columns to scale |
    | `knowing(published)`                | the family that a fit was made with, from what it published          | as it was made   |
    | `rows_needed(num_features)`         | rows that each component needs, for what is said of a fit that fails | 0                |
    | `alone(total)`                      | log-likelihood of one component on the rows bound, of weight `total` | it is fitted     |
    | `most_params()`                     | how many free parameters rows of these columns can determine         | any number       |
    | `pinned(params, counts)`            | the family whose params at the end of their range stay there         | all may move     |
    | `num_held(params)`                  | how many free parameters are at the end of their range, and stay     | 0                |
    | `with_prior(…)`, `log_prior(…)`     | the family under a `jaxem.Prior`                                     | `prior=` refused |

    - A class that inherits `log_joint` and has a `log_prob` of its own needs its own.
    - `bounds` is a dict, infinity for none: `{"probabilities": (0, 1)}`. Confidence intervals then stay inside. Weights, rates,
      variances and correlations have theirs anyway.
    - `shareable = True` says that what it does below the line, `sample` apart, calls nothing of LAPACK (`jnp.linalg`): see
      `devices.mesh_for`.
    - Where `smooth` is False, searches end without L-BFGS.
    - Where a family is `full`, a warning names columns that depend on each other: its likelihood then has no maximum.
    - Where all families of a fit are `linear` and scaled, nearly collinear columns come sphered: `scale` is then not diagonal.
    - `pinned` is asked before standard errors are worked out, with the rows of each component (k,); `num_held` is then asked of its answer.
    - `embed(x)` is for values that are names: rows (d, n) as points, (e, n), whose distances starts may compare.
    - `knowing(published)` is for families that `bind` tells what they need: the family of a saved fit.
    - `alone` may return None where it does not know.
    - `with_prior(prior, num_components, centre, scale, total)` is asked of the bound family; it returns the family whose `m_step`
      obeys the prior, and as a dict arguments of `jaxem.Prior` that say the same in the data's units, "concentration" among them.
      That family has `log_prior(params, live)`, a scalar, of the components that are live, (k,).

    Attributes:
        name: What results are known by, and the name users type of those that come with jaxem; another one for each family.
        standardise: Whether `fit` may centre and scale each column before EM and map the params back.
    """

    name: str
    standardise: bool

    def check(self, x: Any, columns: list[str]) -> None:
        """Raise ValueError, naming row and column, where rows (n, d) are nothing this family can have made.

        It is called before a fit.
        """
        ...

    def bind(self, x: Any, weight: Any, scale: Any, dtype: Any) -> Family:
        """The family for rows (d, n) in internal units, which `scale` (d, d) takes to the data's; `self` if it need not know."""
        ...

    def with_residuals(self) -> Family:
        """The family in its most accurate form, by which results are certified; `self` if there is only one."""
        ...

    def num_params(self, num_components: int, num_features: int) -> int:
        """Number of free parameters of all components together, mixing weights not counted."""
        ...

    def admissible(self, params: Params, counts: Any) -> Any:
        """Which of several runs are no degenerate solutions: params with a lane axis in front, counts (l, k), answer (l,)."""
        ...

    def distance(self, a: Params, b: Params) -> Any:
        """How far apart components are, in standard deviations, shape (k, k)."""
        ...

    def publish(self, params: Params, centre: Any, scale: Any) -> dict[str, Any]:
        """Named arrays in the data's units, component axis first: what users see as `Fit.params`.

        Names are identifiers. "means" (k, d), "covariances" or "scatters" (k, d, d), beside "means", and "rates" (k, d) are kept for
        what they say; "weights", "correlations", "asdict" and "take" mean something else, and are refused.
        """
        ...

    def adopt(self, published: dict[str, Any], centre: Any, scale: Any) -> Params:
        """The inverse of `publish`."""
        ...

    # ------------------------------------------------------------------------------------------------------------------------

    def reference(self, num_components: int, num_features: int, dtype: Any) -> Params:
        """A crude finite point for data as `bind` saw them: the fallback of components without rows."""
        ...

    def log_prob(self, params: Params, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of every row under every component."""
        ...

    def expected_stats(self, params: Params, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> Stats:
        """Sufficient statistics weighted by `resp`, which already holds the row weights; `count` is the sum of `resp`."""
        ...

    def m_step(self, params: Params, stats: Stats) -> Params:
        """Maximum-likelihood params of each component."""
        ...

    def observed(self, params: Params, missing: Int[Array, " q"]) -> Any:
        """The components seen through some columns only, for rows that lack the columns `missing` (d stands for none).

        An object with `log_prob` and `expected_stats` as here: the density of the cells that are there, and the expected statistics
        given these; and `completed` and `drawn`, rows with conditional means and with draws, shape (k, d, n). Where no mean is a guess, as
        of categories, `likeliest` stands for `completed`. A family without this method takes complete rows only.
        """
        ...

    def complete(self, params: Params, stats: Stats, at: Params) -> Scalar:
        """Expected complete-data log-likelihood of `params` up to a constant, from the statistics of an E-step at `at`."""
        ...

    def to_free(self, params: Params) -> Any:
        """Unconstrained coordinates, in which lines may be drawn."""
        ...

    def from_free(self, free: Any) -> Params:
        """The inverse of `to_free`."""
        ...

    def collapsed(self, params: Params, stats: Stats, live: Any) -> Any:
        """A traced bool: is a live component on its way to a degenerate solution?"""
        ...

    def sample(self, key: Any, params: Params, labels: Any) -> Float[Array, "d n"]:
        """One row for each label."""
        ...


def log_prior(model: Any, params: Any) -> Scalar:
    """The model's log-prior, or 0 where it has none."""
    method = getattr(model, "log_prior", None)
    return method(params) if method is not None else jnp.asarray(0.0)


def to_free(model: Any, params: Any) -> Any:
    """The model's unconstrained coordinates; a model without `to_free` is extrapolated in its params as they are."""
    method = getattr(model, "to_free", None)
    return method(params) if method is not None else params


def from_free(model: Any, free: Any) -> Any:
    """The params at unconstrained coordinates."""
    method = getattr(model, "from_free", None)
    return method(free) if method is not None else free


def collapsed(model: Any, params: Any, stats: Any) -> Any:
    """Whether the model calls this point degenerate; a model without an opinion never does."""
    method = getattr(model, "collapsed", None)
    return method(params, stats) if method is not None else jnp.asarray(False)


def magnitude(model: Any, stats: Any) -> Scalar:
    """About how many nats of either sign the log-likelihood is a sum of: what rounding is measured by. 1 where the model cannot say."""
    method = getattr(model, "magnitude", None)
    size = jnp.asarray(1.0) if method is None else method(stats)
    return jnp.where(jnp.isfinite(size), size, 1.0)
