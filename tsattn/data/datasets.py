"""Example data sets: bundled ones, and public ones that are downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tsattn._extras import import_extra
from tsattn.errors import ConfigError, DataError

ETT = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/"
M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/"
T_GCN = "https://raw.githubusercontent.com/lehaifeng/T-GCN/master/data/"


@dataclass(frozen=True)
class Dataset:
    """A file with series.

    Args:
        name: Name of the data set.
        description: Content in a few words.
        shape: Columns, rows and layout.
        licence: Licence; "none stated" if its owner states none.
        sha256: Checksum of the file.
        path: Path of the file in the bundled folder, or in that of `TSATTN_DATA_DIR`.
        url: Address of the download; empty for bundled files.
    """

    name: str
    description: str
    shape: str
    licence: str
    sha256: str
    path: str
    url: str = ""


_ALL = (
    Dataset(
        "airline",
        "international airline passengers, monthly, thousands",
        "Date, Passengers; 144 rows",
        "BSD-3-Clause",
        "28af0eb869db6d9fbd31d5af03993a0cbf36c0857c3eb046a068c094b60da851",
        "Airline.csv",
    ),
    Dataset(
        "co2",
        "CO2 at Mauna Loa, weekly with gaps, parts per million",
        "date, co2; 2,284 rows",
        "public domain",
        "16695fa2786e53414e5a6b54767a3fdf5de99cfbc68617f69d1362d92776a92f",
        "co2.csv",
    ),
    Dataset(
        "sunspots",
        "mean number of sunspots, yearly",
        "YEAR, SUNACTIVITY; 309 rows",
        "public domain",
        "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b",
        "sunspots.csv",
    ),
    Dataset(
        "nile",
        "flow of the Nile at Aswan, yearly, 10^8 m^3",
        "year, volume; 100 rows",
        "public domain",
        "88e97bea7249e5832a85e41aec6ce4b8f7b1b14aae930c8363da7f193286b598",
        "nile.csv",
    ),
    Dataset(
        "solar",
        "solar generation of Great Britain, half-hourly with time zone, fraction of capacity",
        "datetime_gmt, solar_gen; 289 rows",
        "BSD-3-Clause",
        "205b61343a9233f6f532e918154a19b177557086f77801ec26277a1868af7e7e",
        "solar.csv",
    ),
    Dataset(
        "etth1",
        "electricity transformer, hourly: oil temperature and six loads",
        "date, HUFL, HULL, MUFL, MULL, LUFL, LULL, OT; 17,420 rows, wide",
        "CC BY-ND 4.0",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        "ETT/ETTh1.csv",
        ETT + "ETTh1.csv",
    ),
    Dataset(
        "ettm1",
        "electricity transformer, every 15 minutes: oil temperature and six loads",
        "date, HUFL, HULL, MUFL, MULL, LUFL, LULL, OT; 69,680 rows, wide",
        "CC BY-ND 4.0",
        "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
        "ETT/ETTm1.csv",
        ETT + "ETTm1.csv",
    ),
    Dataset(
        "m4-hourly",
        "M4 competition, hourly, training part",
        "V1 (id), V2 ... V961; 414 series of 700 to 960 steps, one row each",
        "none stated",
        "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
        "M4/Hourly-train.csv",
        M4 + "Train/Hourly-train.csv",
    ),
    Dataset(
        "m4-hourly-test",
        "M4 competition, the 48 hours after each hourly training series",
        "V1 (id), V2 ... V49; 414 series, one row each",
        "none stated",
        "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
        "M4/Hourly-test.csv",
        M4 + "Test/Hourly-test.csv",
    ),
    Dataset(
        "los-loop",
        "speed at 207 road sensors in Los Angeles, every 5 minutes, miles per hour",
        "one column per sensor, no timestamps; 2,016 rows, wide",
        "none stated",
        "7b732d86ae32b2930595becba28aff39dacbfb2197e250fc0332e1744ce2cbf4",
        "los_loop/los_speed.csv",
        T_GCN + "los_speed.csv",
    ),
    Dataset(
        "los-loop-graph",
        "proximity of these sensors to each other",
        "matrix of 207 x 207 weights, no ids",
        "none stated",
        "7a6eb41e10677992b5af50f5ab187c6c05c5c3a92cb973950cfddbf857361e76",
        "los_loop/los_adj.csv",
        T_GCN + "los_adj.csv",
    ),
)

DATASETS = {dataset.name: dataset for dataset in _ALL}
"""Data sets by name."""


def fetch(name: str) -> Path:
    """Return the file of a data set: the bundled one, a local copy, or a cached download.

    The folder `TSATTN_DATA_DIR` holds local copies. Downloads are cached in the user's cache folder, or in
    `TSATTN_CACHE_DIR`; an interrupted one is resumed. Checksums are verified.

    Raises:
        ConfigError: There is no such data set.
        DataError: The download fails, or a checksum is wrong.
    """
    if name not in DATASETS:
        raise ConfigError(f"there is no data set '{name}', but there are {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    if not dataset.url:
        return _bundled(dataset)
    folder = os.environ.get("TSATTN_DATA_DIR")
    local = Path(folder) / dataset.path if folder else None
    if local is not None and local.is_file():
        pooch = import_extra("pooch", "datasets", "a public dataset")
        if pooch.file_hash(str(local)) != dataset.sha256:
            raise DataError(
                f"{local}: expected the data set {name}, got a file with another checksum", "correct TSATTN_DATA_DIR"
            )
        return local
    return _downloaded(dataset)


def _bundled(dataset: Dataset) -> Path:
    # Next to the package in the repository, in the package once it is installed.
    for folder in (Path(__file__).parents[2] / "datasets", Path(__file__).parents[1] / "datasets"):
        if (folder / dataset.path).is_file():
            return folder / dataset.path
    raise DataError(f"{dataset.path}: this file of the package is missing", "install tsattn again")


def _downloaded(dataset: Dataset) -> Path:
    pooch = import_extra("pooch", "datasets", "a public dataset")
    import requests

    folder = Path(os.environ.get("TSATTN_CACHE_DIR") or pooch.os_cache("tsattn"))
    name = f"{dataset.name}{Path(dataset.path).suffix}"
    try:
        found = pooch.retrieve(
            dataset.url, f"sha256:{dataset.sha256}", name, folder, downloader=_Resuming(folder / f"{name}.part")
        )
    except (requests.RequestException, OSError) as error:
        raise DataError(f"{dataset.url}: cannot be downloaded: {error}") from None
    except ValueError:
        raise DataError(
            f"{dataset.url}: expected the data set {dataset.name}, got a file with another checksum, perhaps a new "
            "version",
            "download it yourself and pass its path",
        ) from None
    return Path(found)


class _Resuming:
    """Downloader for pooch that resumes interrupted downloads."""

    def __init__(self, part: Path) -> None:
        self._part = part

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests

        have = self._part.stat().st_size if self._part.is_file() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            if answer.status_code == 416:
                # The download was complete already.
                answer.close()
            else:
                answer.raise_for_status()
                with self._part.open("ab" if answer.status_code == 206 else "wb") as file:
                    for chunk in answer.iter_content(1 << 16):
                        file.write(chunk)
        self._part.replace(output_file)
