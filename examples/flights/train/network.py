"""One model: what it fits on its own rows, and the multilayer perceptron that it trains."""

from dataclasses import dataclass
import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from flights_data import CATEGORIES, TARGET

DERIVED = ["distance", "sched_minutes", "dep_delay", "departure_clock", "winter"]
DELAY_MINUTES = (-30.0, 240.0)
DAYS_A_MONTH = 30.4375
RADIANS_A_DAY = 2 * np.pi / 365.25
SEED = 2013


@dataclass
class Recipe:
    """The settings of one training run; `choose.py` says where those of `train.py` come from."""

    steps: int
    alpha: float
    hidden: tuple[int, ...] = (64, 32)
    batch: int = 256
    learning_rates: tuple[float, ...] = (3e-3, 1e-3, 3e-4, 1e-4)


@dataclass
class Model:
    vocabulary: dict[str, list[str]]
    shares: dict[str, np.ndarray]
    mean: np.ndarray
    scale: np.ndarray
    log_mean: float
    log_scale: float
    log_range: tuple[float, float]
    mlp: MLPRegressor
    rows: int

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Minutes in the air, shape [rows], by scikit-learn."""
        scaled = self.mlp.predict(self._columns(rows)).astype(np.float64)
        log_minutes = scaled * self.log_scale + self.log_mean
        return np.exp(np.clip(log_minutes, *self.log_range))

    def _columns(self, rows: pd.DataFrame) -> np.ndarray:
        return _columns(rows, self.vocabulary, self.shares, self.mean, self.scale)


def fit(rows: pd.DataFrame, recipe: Recipe) -> Model:
    """Trains on `rows` alone: vocabulary, statistics and weights come from nowhere else."""
    vocabulary = {name: sorted(rows[name].unique()) for name in CATEGORIES}
    shares = {
        name: rows[name].value_counts(normalize=True).reindex(known).to_numpy(np.float32)
        for name, known in vocabulary.items()
    }
    numbers = derived(rows)
    mean, scale = numbers.mean(axis=0), _nonzero(numbers.std(axis=0))
    log_minutes = np.log(rows[TARGET].to_numpy(np.float64))
    log_mean, log_scale = float(log_minutes.mean()), float(_nonzero(log_minutes.std()))
    columns = _columns(rows, vocabulary, shares, mean, scale)
    mlp = _descend(columns, ((log_minutes - log_mean) / log_scale).astype(np.float32), recipe)
    # A prediction may leave the range of the flights seen by a quarter, not by more.
    log_range = (float(log_minutes.min() - np.log(1.25)), float(log_minutes.max() + np.log(1.25)))
    return Model(vocabulary, shares, mean, scale, log_mean, log_scale, log_range, mlp, len(rows))


def derived(rows: pd.DataFrame) -> np.ndarray:
    """The numeric columns, in the order of DERIVED; `graph.py` computes the same inside the model."""
    clock = rows.sched_dep_time - 40 * np.floor(rows.sched_dep_time / 100)
    day_of_year = (rows.month - 1) * DAYS_A_MONTH + rows.day
    columns = [
        rows.distance,
        rows.sched_minutes,
        rows.dep_delay.clip(*DELAY_MINUTES),
        clock,
        # 1 in the first days of January and -1 in the first of July: winds aloft follow the season, and a model that
        # has seen no autumn can still read it as "as far from midwinter as spring".
        np.cos(day_of_year * RADIANS_A_DAY),
    ]
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _columns(rows, vocabulary, shares, mean, scale) -> np.ndarray:
    parts = [_one_hot(rows[name], vocabulary[name], shares[name]) for name in CATEGORIES]
    parts.append(((derived(rows) - mean) / scale).astype(np.float32))
    return np.concatenate(parts, axis=1)


def _one_hot(values: pd.Series, known: list[str], shares: np.ndarray) -> np.ndarray:
    """A column a known value; an unknown value is the average flight of the training rows."""
    position = pd.Index(known).get_indexer(values)
    table = np.concatenate([np.eye(len(known), dtype=np.float32), shares[None, :]])
    return table[position]


def _descend(columns: np.ndarray, target: np.ndarray, recipe: Recipe) -> MLPRegressor:
    batch = min(recipe.batch, len(columns))
    steps_an_epoch = -(-len(columns) // batch)
    epochs = max(1, round(recipe.steps / len(recipe.learning_rates) / steps_an_epoch))
    mlp = MLPRegressor(
        hidden_layer_sizes=recipe.hidden, alpha=recipe.alpha, batch_size=batch, max_iter=epochs, tol=0.0,
        n_iter_no_change=10**6, random_state=SEED, warm_start=True,
    )
    for rate in recipe.learning_rates:
        # warm_start continues this model's own weights at the next, smaller rate.
        mlp.set_params(learning_rate_init=rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mlp.fit(columns, target)
    return mlp


def _nonzero(scale):
    return np.where(scale < 1e-6, 1.0, scale)
