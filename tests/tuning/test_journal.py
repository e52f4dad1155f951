"""What a search keeps of itself, and what becomes of it when a process ends."""

from __future__ import annotations

import subprocess
import sys
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
from tsattn.tuning.search_space import Space
from tsattn.tuning.study import DEFAULT, ENDED, RETRY_OF, Journal, quiet, standing_of


def space_of(model: dict[str, Any], seed: int = 0) -> Space:
    config = RunConfig.from_dict({"model": model, "seed": seed})
    panel, schema = load(days(), config.data)
    return Space.of(config, [model["name"]], panel, schema, "data")


@pytest.fixture(scope="module")
def space() -> Space:
    return space_of({"name": "tcn"})


def proposed(journal: Journal, space: Space, number: int) -> list[dict[str, Any]]:
    """Ask for trials, answer each by its learning rate, and return what they proposed."""
    found = []
    for _ in range(number):
        trial = journal.ask(100, last=False)
        assert trial is not None
        _, values = space.suggest(trial)
        found.append(values)
        journal.tell(trial, TrialState.COMPLETE, values["training.learning_rate"])
    return found


def test_a_search_that_was_stopped_goes_on_as_it_would_have(space: Space, tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "whole", space, "a")) as journal:
        whole = proposed(journal, space, 16)
    with closing(Journal.open(tmp_path / "parts", space, "a")) as journal:
        parts = proposed(journal, space, 7)
    with closing(Journal.open(tmp_path / "parts", space, "a")) as journal:
        parts += proposed(journal, space, 9)
    assert whole == parts, "behind the random start, too"
    assert whole[0] == space.default("tcn")
    assert len({tuple(values.items()) for values in whole}) == 16
    other = space_of({"name": "tcn"}, seed=1)
    with closing(Journal.open(tmp_path / "other", other, "a")) as journal:
        assert proposed(journal, other, 3)[1:] != whole[1:3]
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "parts", "other"}, "no lock is left"


def test_there_are_as_many_trials_as_were_asked_for(space: Space, tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "journal", space, "a")) as journal:
        proposed(journal, space, 3)
        assert journal.ask(3, last=False) is None
        assert journal.ask(4, last=True) is None, "the time is over, and something is known"
        running = journal.ask(4, last=False)
        assert running is not None and standing_of(journal.trials(), 4)[1] == 0
        journal.tell(running, TrialState.PRUNED)
        assert journal.ask(4, last=False) is None
    with closing(Journal.open(tmp_path / "new", space, "a")) as journal:
        assert journal.ask(4, last=True) is not None, "a search has one trial at least"


def test_a_weak_learning_curve_is_pruned_and_the_first_ones_are_not(space: Space, tmp_path: Path) -> None:
    def pruned_at(journal: Journal, losses: list[float]) -> int | None:
        trial = journal.ask(100, last=False)
        assert trial is not None
        space.suggest(trial)
        for epoch, loss in enumerate(losses):
            trial.report(loss, epoch)
            if trial.should_prune():
                journal.tell(trial, TrialState.PRUNED)
                return epoch
        journal.tell(trial, TrialState.COMPLETE, losses[-1])
        return None

    with closing(Journal.open(tmp_path / "journal", space, "a")) as journal:
        assert pruned_at(journal, [9.0, 9.0, 9.0]) is None, "there is nothing to compare with"
        for height in (1.0, 2.0, 3.0):
            assert pruned_at(journal, [height + 1, height, height]) is None
        assert pruned_at(journal, [9.0, 2.6, 2.6]) == 1, "median of the second epoch: 2.5"
        assert pruned_at(journal, [9.0, 2.4, 2.4]) is None, "a bad first epoch is no reason"


WAITING = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from tuning.test_journal import *
space = space_of({{"name": "tcn"}})
journal = Journal.open(Path({journal!r}), space, "a")
trial = journal.ask(100, last=False)
space.suggest(trial)
print("asked", flush=True)
sys.stdin.read()
"""


def run_waiting(journal: Path) -> subprocess.Popen[bytes]:
    """Let a process of its own take a trial and wait to be ended."""
    script = WAITING.format(path=sys.path, journal=str(journal))
    return subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_trial_is_done_again_when_its_process_was_killed_and_not_while_it_lives(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    process = run_waiting(path)
    assert process.stdout is not None and process.stdout.readline() == b"asked\n"
    with closing(Journal.open(path, space, "a")) as journal:
        assert proposed(journal, space, 1) != [space.default("tcn")], "that is being done elsewhere"
        process.kill()
        process.communicate()
        trial = journal.ask(100, last=False)
        assert trial is not None and trial.user_attrs == {DEFAULT: True, RETRY_OF: 0, ENDED: 1}
        assert space.suggest(trial) == ("tcn", space.default("tcn"))
        assert [known.state for known in journal.trials()] == [
            TrialState.FAIL,
            TrialState.COMPLETE,
            TrialState.RUNNING,
        ]
        journal.tell(trial, TrialState.COMPLETE, 1.0)
        assert len(standing_of(journal.trials(), 5)[0]) == 2 and standing_of(journal.trials(), 5)[1] == 3


def test_what_ends_its_process_again_and_again_is_left_at_that(space: Space, tmp_path: Path) -> None:
    for _ in range(3):
        with closing(Journal.open(tmp_path / "journal", space, "a")) as journal:
            trial = journal.ask(100, last=False)
            assert trial is not None and space.suggest(trial) == ("tcn", space.default("tcn"))
    with closing(Journal.open(tmp_path / "journal", space, "a")) as journal:
        assert proposed(journal, space, 1) != [space.default("tcn")]
        assert len(standing_of(journal.trials(), 5)[0]) == 2


def test_a_line_that_a_process_was_killed_over_is_dropped(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(Journal.open(path, space, "a")) as journal:
        first = proposed(journal, space, 2)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    with closing(Journal.open(path, space, "a")) as journal:
        assert first + proposed(journal, space, 1) and len(journal.trials()) == 3
    with closing(Journal.open(path, space, "a")) as journal:
        assert len(journal.trials()) == 3


def no_journal(path: Path) -> None:
    path.write_text("ds,y\n2024-01-01,1\n2024-01-02,")


def other_study(path: Path) -> None:
    with quiet():
        optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="mine")


def same_name(path: Path) -> None:
    with quiet():
        study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="tsattn")
    study.tell(study.ask(), 1.0)


def broken(path: Path) -> None:
    path.write_text('{"op_code":0,"study_name":1}\n[1]\nnothing\n{"op_code":9}\n')


@pytest.mark.parametrize("write", [no_journal, other_study, same_name, broken])
def test_what_is_no_journal_is_refused_and_keeps_what_it_holds(
    write: Callable[[Path], None], space: Space, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    write(path)
    before = path.read_bytes()
    with pytest.raises(RunError, match="expected a journal of `tsattn tune`"):
        Journal.open(path, space, "a")
    assert path.read_bytes().startswith(before) and [other.name for other in tmp_path.iterdir()] == ["file"]
    with pytest.raises(RunError, match="cannot be used as a journal"):
        Journal.open(tmp_path / "nowhere" / "journal", space, "a")


def test_the_journal_of_another_search_is_refused(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal.open(path, space, "a").close()
    with pytest.raises(RunError, match="another search, of other data: give another"):
        Journal.open(path, space, "b")
    for other, told in (
        (space_of({"name": "tcn", "units": 16}), "without model.units=16"),
        (space_of({"name": "tcn"}, seed=3), "with seed=0"),
        (space_of({"name": "attention_pooling"}), "of the models tcn"),
    ):
        with pytest.raises(RunError, match=told):
            Journal.open(path, other, "a")
    Journal.open(path, space_of({"name": "tcn"}), "a").close()
