"""Example data sets: bundled ones, and public ones that are downloaded."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from tsattn._text import did_you_mean
from tsattn.errors import ConfigError, DataError, import_extra


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


# Data sets by name.
with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as _file:
    DATASETS = {row["name"]: Dataset(**row) for row in csv.DictReader(_file)}


def fetch(name: str) -> Path:
    """Return the file of a data set: the bundled one, a local copy, or a cached download.

    The folder `TSATTN_DATA_DIR` holds local copies. Downloads are cached in the user's cache folder, or in
    `TSATTN_CACHE_DIR`; an interrupted one is resumed. Checksums are verified.

    Raises:
        ConfigError: There is no such data set.
        DataError: The download fails, or a checksum is wrong.
    """
    if name not in DATASETS:
        raise ConfigError(
            f"there is no data set '{name}'{did_you_mean(name, DATASETS)}; there are {', '.join(DATASETS)}"
        )
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
