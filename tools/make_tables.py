"""Write two tables as people have them: churn.csv and housing.csv, made up, with known noise.

    python tools/make_tables.py FOLDER

churn.csv: an id, dates, plan, region, missing cells of two kinds, and 9 % of churners. housing.csv:
semicolons, decimal commas, zip codes with leading zeros, dates, missing years, cp1252.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

MONTHS = ("month to month", "one year", "two years")
SUPPORT = ("phone", "chat", "none")


def churn(path: Path, n: int = 4000, seed: int = 0) -> None:
    """Write the customers of a telephone company; about 9 % of them leave."""
    rng = np.random.default_rng(seed)
    rows: list[Sequence[object]] = []
    for i in range(n):
        months = int(rng.integers(1, 72))
        plan, support = int(rng.integers(0, 3)), int(rng.integers(0, 3))
        charge = float(rng.gamma(6, 10) + 15)
        calls = int(rng.poisson(1.5))
        logit = -4.6 - 0.04 * months + 0.03 * charge - 1.2 * plan + 0.9 * calls
        logit += 1.3 * (support == 2) * (calls > 1)
        leaves = rng.random() < 1 / (1 + np.exp(-logit))
        since = date(2024, 6, 1) - timedelta(days=30 * months + int(rng.integers(0, 30)))
        rows.append(
            [
                f"C-{100000 + 7 * i}",
                since.isoformat(),
                MONTHS[plan],
                SUPPORT[support] if rng.random() > 0.08 else "",
                f"{charge:.2f}" if rng.random() > 0.05 else "N/A",
                calls,
                f"{charge * months + rng.normal(0, 30):.2f}",
                -999 if rng.random() < 0.03 else int(rng.integers(18, 90)),
                "yes" if leaves else "no",
            ]
        )
    header = "customer,since,plan,support,charge,calls,total,age,churn".split(",")
    _write(path, header, rows, ",", "utf-8")


def housing(path: Path, n: int = 3000, seed: int = 0) -> None:
    """Write sales of houses; the price depends on area, year, place, season and a trend."""
    rng = np.random.default_rng(seed)
    places = [f"{code:05d}" for code in rng.choice(np.arange(1000, 9999), 150, replace=False)]
    level = {place: float(np.exp(rng.normal(0, 0.05) + 0.05 * int(place[1]))) for place in places}
    rows: list[Sequence[object]] = []
    for i in range(n):
        place = places[int(rng.integers(0, len(places)))]
        area, year = float(rng.gamma(9, 14) + 25), int(rng.integers(1900, 2023))
        day = int(rng.integers(0, 2000))
        sold = date(2018, 1, 1) + timedelta(days=day)
        price = 2500 * area * level[place] * (1 + day / 6000)
        price *= 1 + 0.002 * (year - 1960) + 0.03 * np.sin(2 * np.pi * day / 365)
        price *= float(np.exp(rng.normal(0, 0.08)))
        rows.append(
            [
                i + 1,
                place,
                _comma(area, 1),
                str(year) if rng.random() > 0.07 else "",
                ("Süd", "Ost", "West", "Nord")[int(rng.integers(0, 4))],
                sold.strftime("%d.%m.%Y"),
                _comma(price, 2),
            ]
        )
    header = ["id", "plz", "fläche", "baujahr", "lage", "verkauft", "preis"]
    _write(path, header, rows, ";", "cp1252")


def _comma(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace(".", ",")


def _write(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], mark: str, encoding: str
) -> None:
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=mark).writerows([header, *rows])


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    churn(folder / "churn.csv")
    housing(folder / "housing.csv")
