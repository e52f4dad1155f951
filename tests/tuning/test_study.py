"""The journal of a search: resuming, dead processes, invalid files."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tuning.small import days

from tsattn.config import RunConfig
from tsattn.data.loader import load
from tsattn.errors import RunError
from tsattn.tuning.search_space import SearchSpace
from tsattn.tuning.study import DEFAULT, ENDED, RETRY_OF, StudyStore, count_trials


def space_of(model: dict[str, Any], seed: int = 0) -> SearchSpace:
    config = RunConfig.from_dict({"model": model, "seed": seed})
    panel, schema = load(days(), config.data)
    return SearchSpace.from_config(config, [model["name"]], panel, schema, "data")


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return space_of({"name": "tcn"})


def propose(store: StudyStore, space: SearchSpace, number: int) -> list[dict[str, Any]]:
    """Ask for trials, finish each with its learning rate as the error, and return their option values."""
    found = []
    for _ in range(number):
        trial = store.ask(100, is_time_over=False)
        assert trial is not None
        _, values = space.suggest(trial)
        found.append(values)
        store.finish(trial, TrialState.COMPLETE, values["training.learning_rate"])
    return found


def test_stopped_search_resumes_as_it_would_have_continued(space: SearchSpace, tmp_path: Path) -> None:
    with closing(StudyStore.open(tmp_path / "whole", space, "a")) as store:
        whole = propose(store, space, 16)
    with closing(StudyStore.open(tmp_path / "parts", space, "a")) as store:
        parts = propose(store, space, 7)
    with closing(StudyStore.open(tmp_path / "parts", space, "a")) as store:
        parts += propose(store, space, 9)
    assert whole == parts, "after the random trials, too"
    assert whole[0] == space.default_values("tcn")
    assert len({tuple(values.items()) for values in whole}) == 16
    other = space_of({"name": "tcn"}, seed=1)
    with closing(StudyStore.open(tmp_path / "other", other, "a")) as store:
        assert propose(store, other, 3)[1:] != whole[1:3]
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "parts", "other"}, "no lock file remains"


@pytest.mark.parametrize("suggested", [False, True])
def test_killed_search_resumes_as_it_would_have_continued(
    space: SearchSpace, tmp_path: Path, *, suggested: bool
) -> None:
    with closing(StudyStore.open(tmp_path / "whole", space, "a")) as store:
        whole = propose(store, space, 16)
    killed = []
    for finished in (0, 3, 1, 9):
        with closing(StudyStore.open(tmp_path / "killed", space, "a")) as store:
            killed += propose(store, space, finished)
            # The process ends before the trial does.
            trial = store.ask(100, is_time_over=False)
            if suggested and trial is not None:
                space.suggest(trial)
    with closing(StudyStore.open(tmp_path / "killed", space, "a")) as store:
        killed += propose(store, space, 3)
    assert killed == whole


def test_number_of_trials_is_limited(space: SearchSpace, tmp_path: Path) -> None:
    with closing(StudyStore.open(tmp_path / "journal", space, "a")) as store:
        propose(store, space, 3)
        assert store.ask(3, is_time_over=False) is None
        assert store.ask(4, is_time_over=True) is None, "the time is over, and a result exists"
        running = store.ask(4, is_time_over=False)
        assert running is not None and count_trials(store.trials(), 4)[1] == 0
        store.finish(running, TrialState.PRUNED)
        assert store.ask(4, is_time_over=False) is None
    with closing(StudyStore.open(tmp_path / "new", space, "a")) as store:
        assert store.ask(4, is_time_over=True) is not None, "a search has at least one trial"


def test_weak_learning_curve_is_pruned_after_the_first_trials(space: SearchSpace, tmp_path: Path) -> None:
    def pruned_at(store: StudyStore, losses: list[float]) -> int | None:
        trial = store.ask(100, is_time_over=False)
        assert trial is not None
        space.suggest(trial)
        for epoch, loss in enumerate(losses):
            trial.report(loss, epoch)
            if trial.should_prune():
                store.finish(trial, TrialState.PRUNED)
                return epoch
        store.finish(trial, TrialState.COMPLETE, losses[-1])
        return None

    with closing(StudyStore.open(tmp_path / "journal", space, "a")) as store:
        assert pruned_at(store, [9.0, 9.0, 9.0]) is None, "there are no trials to compare with"
        for height in (1.0, 2.0, 3.0):
            assert pruned_at(store, [height + 1, height, height]) is None
        assert pruned_at(store, [9.0, 2.6, 2.6]) == 1, "median of the second epoch: 2.5"
        assert pruned_at(store, [9.0, 2.4, 2.4]) is None, "the first epoch does not count"


WAITING = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from tuning.test_study import *
space = space_of({{"name": "tcn"}})
store = StudyStore.open(Path({journal!r}), space, "a")
trial = store.ask(100, is_time_over=False)
space.suggest(trial)
print("asked", flush=True)
sys.stdin.read()
"""


def start_waiting_process(journal: Path) -> subprocess.Popen[bytes]:
    """Start a process that takes a trial and waits."""
    script = WAITING.format(path=sys.path, journal=str(journal))
    return subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_trial_is_repeated_after_its_process_was_killed(space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    process = start_waiting_process(path)
    assert process.stdout is not None and process.stdout.readline() == b"asked\n"
    with closing(StudyStore.open(path, space, "a")) as store:
        assert propose(store, space, 1) != [space.default_values("tcn")], "another process runs it"
        process.kill()
        process.communicate()
        trial = store.ask(100, is_time_over=False)
        assert trial is not None and trial.user_attrs == {DEFAULT: True, RETRY_OF: 0, ENDED: 1}
        assert space.suggest(trial) == ("tcn", space.default_values("tcn"))
        assert [known.state for known in store.trials()] == [
            TrialState.FAIL,
            TrialState.COMPLETE,
            TrialState.RUNNING,
        ]
        store.finish(trial, TrialState.COMPLETE, 1.0)
        assert count_trials(store.trials(), 5)[0] == 2 and count_trials(store.trials(), 5)[1] == 3


def test_trial_that_kills_its_process_repeatedly_is_given_up(space: SearchSpace, tmp_path: Path) -> None:
    for _ in range(3):
        with closing(StudyStore.open(tmp_path / "journal", space, "a")) as store:
            trial = store.ask(100, is_time_over=False)
            assert trial is not None and space.suggest(trial) == ("tcn", space.default_values("tcn"))
    with closing(StudyStore.open(tmp_path / "journal", space, "a")) as store:
        assert propose(store, space, 1) != [space.default_values("tcn")]
        assert count_trials(store.trials(), 5)[0] == 2


def test_partial_last_line_is_dropped(space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(StudyStore.open(path, space, "a")) as store:
        first = propose(store, space, 2)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    with closing(StudyStore.open(path, space, "a")) as store:
        assert first + propose(store, space, 1) and len(store.trials()) == 3
    with closing(StudyStore.open(path, space, "a")) as store:
        assert len(store.trials()) == 3


def create_study(path: Path, name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name=name)


def csv_file(path: Path) -> None:
    path.write_text("ds,y\n2024-01-01,1\n2024-01-02,")


def other_study(path: Path) -> None:
    create_study(path, "mine")


def same_name(path: Path) -> None:
    study = create_study(path, "tsattn")
    study.tell(study.ask(), 1.0)


def broken(path: Path) -> None:
    path.write_text('{"op_code":0,"study_name":1}\n[1]\nnothing\n{"op_code":9}\n')


@pytest.mark.parametrize("write", [csv_file, other_study, same_name, broken])
def test_other_files_are_refused_and_not_changed(
    write: Callable[[Path], None], space: SearchSpace, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    write(path)
    before = path.read_bytes()
    with pytest.raises(RunError, match="expected a journal of `tsattn tune`"):
        StudyStore.open(path, space, "a")
    assert path.read_bytes().startswith(before) and [other.name for other in tmp_path.iterdir()] == ["file"]
    with pytest.raises(RunError, match="cannot be used as a journal"):
        StudyStore.open(tmp_path / "nowhere" / "journal", space, "a")


def test_journal_of_another_search_is_refused(space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    StudyStore.open(path, space, "a").close()
    with pytest.raises(RunError, match="another search, of other data: name another journal= or remove the file"):
        StudyStore.open(path, space, "b")
    for other, message in (
        (space_of({"name": "tcn", "units": 16}), "without model.units=16"),
        (space_of({"name": "tcn"}, seed=3), "with seed=0"),
        (space_of({"name": "attention_pooling"}), "of the models tcn"),
    ):
        with pytest.raises(RunError, match=message):
            StudyStore.open(path, other, "a")
    StudyStore.open(path, space_of({"name": "tcn"}), "a").close()
