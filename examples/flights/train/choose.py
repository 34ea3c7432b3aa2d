"""Scores training recipes inside January to September; train.py's two recipes are the best of each list.

    python choose.py

A quarter is left out at a time and predicted from the other two, because that is what the models are for: a season
that they have not seen. October to December are never read. The pooled and the dedicated models choose from the same
strengths of regularisation; the pooled model may train longer, for it has more rows.
"""

from itertools import product

from threadpoolctl import threadpool_limits

import flights_data as data
import network

QUARTERS = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
ALPHAS = [0.1, 0.3, 1.0]
POOLED_STEPS = [4000, 12_000]
DEDICATED_STEPS = [1500, 4000]
CARRIERS = ["UA", "EV", "WN", "9E"]


def main():
    flights = data.training_rows(data.load())
    with threadpool_limits(limits=1):
        for alpha, steps in product(ALPHAS, POOLED_STEPS):
            show("pooled", network.Recipe(steps=steps, alpha=alpha), [flights])
        own = [flights[flights.carrier == carrier] for carrier in CARRIERS]
        for alpha, steps in product(ALPHAS, DEDICATED_STEPS):
            show("dedicated", network.Recipe(steps=steps, alpha=alpha), own)


def show(kind: str, recipe: network.Recipe, histories: list):
    scores = [score(history, quarter, recipe) for history, quarter in product(histories, QUARTERS)]
    print(f"{kind} {recipe}: MAPE {sum(scores) / len(scores):.5f} {[round(s, 4) for s in scores]}", flush=True)


def score(history, quarter: tuple[int, ...], recipe: network.Recipe) -> float:
    left_out = history.month.isin(quarter)
    model = network.fit(history[~left_out].reset_index(drop=True), recipe)
    actual = history[left_out][data.TARGET]
    return float((abs(model.predict(history[left_out]) - actual) / actual).mean())


if __name__ == "__main__":
    main()
