"""Run directories under locks, interruptions at every system call, and hashes of files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tsattn.atomic_io import (
    check_directory,
    check_files,
    companion,
    hash_files,
    lock_directory,
    new_directory,
    repair_directory,
    write_durably,
)
from tsattn.errors import RunError


def write(path: Path, text: str) -> None:
    with new_directory(path, overwrite=True) as folder:
        (folder / "run.json").write_text(text)
        (folder / "weights").mkdir()
        (folder / "weights" / "a").write_text(text)


def content(path: Path) -> str:
    """The text that a run was written with; the run is whole."""
    texts = {file.read_text() for file in (path / "run.json", path / "weights" / "a")}
    assert len(texts) == 1
    return texts.pop()


def hidden(folder: Path) -> list[str]:
    """Files that are neither a run nor a lock."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".") and not path.name.endswith(".lock")]


class Killed(BaseException):
    """A simulated SIGKILL: the process does nothing more."""


def kill_at_change(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Fail at the n-th change of the file system, and at all after it."""
    changes = 0

    def wrap(function: Any) -> Any:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal changes
            changes += 1
            if changes >= number:
                raise Killed
            return function(*args, **options)

        return wrapped

    calls = [(os, name) for name in ("mkdir", "unlink", "rmdir", "fsync")]
    for owner, name in ((Path, "rename"), (Path, "chmod"), *calls):
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


@pytest.mark.parametrize("name", ["run", "link"])
def test_a_kill_at_any_change_leaves_the_former_or_the_new_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / name, set()
    if name == "link":
        path.symlink_to(tmp_path / "elsewhere")
    for number in range(1, 60):
        write(path, "former")
        with monkeypatch.context() as patch:
            kill_at_change(patch, number)
            try:
                write(path, "new")
            except Killed:
                finished = False
            else:
                finished = True
        if companion(path, "former").exists():
            assert content(companion(path, "former")) == "former", "it would be restored if the new one were removed"
        repair_directory(path)
        assert content(path) in ("former", "new")
        seen.add(content(path))
        write(path, "next")
        assert content(path) == "next" and hidden(tmp_path) == []
        if finished:
            break
    assert finished and seen == {"former", "new"}
    assert path.is_symlink() == (name == "link")


def test_a_failure_keeps_the_former_directory(tmp_path: Path) -> None:
    path = tmp_path / "run"
    write(path, "former")
    with pytest.raises(KeyError), new_directory(path, overwrite=True) as folder:
        (folder / "run.json").write_text("new")
        raise KeyError
    with pytest.raises(RunError, match="No space left"), new_directory(path, overwrite=True):
        raise OSError(28, "No space left on device")
    assert content(path) == "former" and hidden(tmp_path) == []


def test_a_directory_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tsattn.atomic_io import lock_directory\n"
        "with lock_directory(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="another process"), lock_directory(tmp_path / "run"):
            pass
        with lock_directory(tmp_path / "other"):
            pass
        other.kill()
    with lock_directory(tmp_path / "run"):
        write(tmp_path / "run", "mine")
    assert content(tmp_path / "run") == "mine"


def test_readers_do_not_repair_what_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "run"
    write(path, "former")
    script = (
        "import sys; from pathlib import Path; from tsattn.atomic_io import lock_directory\n"
        "with lock_directory(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        path.rename(companion(path, "former"))
        repair_directory(path)
        assert not path.exists()
        other.kill()
    repair_directory(path)
    assert content(path) == "former"


def test_paths_and_space_are_checked_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        check_directory(tmp_path / "file" / "run")
    (tmp_path / "data").mkdir()
    with pytest.raises(RunError, match="something else"):
        check_directory(tmp_path / "data", overwrite=True)
    monkeypatch.chdir(tmp_path / "data")
    with pytest.raises(RunError, match="already exists"):
        check_directory(Path())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 2**20))  # type: ignore[attr-defined]
    with pytest.raises(RunError, match="64 MB of free space"):
        check_directory(tmp_path / "run")


def test_the_working_directory_is_replaced_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "run", "former")
    monkeypatch.chdir(tmp_path / "run")
    write(Path(), "new")
    assert content(tmp_path / "run") == "new" and hidden(tmp_path) == []


def test_changed_missing_and_swapped_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    for name in ("a.txt", "b.txt", "kit/c.txt"):
        (tmp_path / name).write_text(name)
    hashes = hash_files(tmp_path, exclude=("kit",))
    assert list(hashes) == ["a.txt", "b.txt"]
    (tmp_path / "kit" / "c.txt").write_text("other")
    (tmp_path / "new.txt").write_text("other")
    check_files(tmp_path, hashes)
    (tmp_path / "b.txt").write_text("B.txt")
    with pytest.raises(RunError, match=r"b\.txt: was changed.*--no-verify"):
        check_files(tmp_path, hashes)
    (tmp_path / "b.txt").unlink()
    with pytest.raises(RunError, match=r"b\.txt: is missing"):
        check_files(tmp_path, hashes)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_durably(path, lambda file: file.write(b"first"))

    def fail(file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left"):
        write_durably(path, fail)
    assert path.read_bytes() == b"first" and [item.name for item in tmp_path.iterdir()] == ["state"]
