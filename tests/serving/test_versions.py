"""New versions under load, labels, and invalid versions."""

from __future__ import annotations

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tensorflow as tf
from serving.live_server import NAME, PLAIN, SECONDS, Served, columns, instance, running, wait_for, write_version

from tsattn.atomic_io import hash_files
from tsattn.errors import ConfigError, RunError
from tsattn.serving.engine import Engine
from tsattn.serving.repository import Repository
from tsattn.serving.servable import Servable
from tsattn.serving.settings import Settings

POLL = 0.05


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with other forecasts."""
    return write_version(tmp_path_factory.mktemp("other") / "2", shift=0.3)


@pytest.fixture
def base(plain: Path, tmp_path: Path) -> Path:
    """A folder of versions that a test may change."""
    shutil.copytree(plain, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def served(base: Path) -> Iterator[Served]:
    with running(base, poll_seconds=POLL) as server:
        yield server


@pytest.fixture
def unfrozen_objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the server freeze and unfreeze all objects."""
    monkeypatch.setattr("tsattn.serving.engine.gc", gc)
    yield
    gc.freeze()


def states(served: Served) -> dict[str, str]:
    statuses = served.http.get(f"/v1/models/{NAME}").json()["model_version_status"]
    return {one["version"]: one["state"] for one in statuses}


def json_of(answer: httpx.Response) -> Any:
    return answer.json()


def add_version(source: Path, target: Path) -> None:
    """Add a version as an export does: under another name first, then renamed."""
    shutil.copytree(source, target.with_name(".tmp-2"))
    target.with_name(".tmp-2").rename(target)


@pytest.mark.usefixtures("unfrozen_objects")
def test_a_new_version_takes_over_without_a_dropped_request(served: Served, base: Path, other: Path) -> None:
    stop, answers = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            answers.append(served.predict({"instances": [instance()]}))

    before = served.predict({"instances": [instance()]}).json()
    old_version = weakref.ref(served.engine.resolve())
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ask) for _ in range(4)]
        add_version(other, base / "2")
        wait_for(lambda: states(served) == {"2": "AVAILABLE", "1": "END"})
        seen = len(answers)
        wait_for(lambda: len(answers) > seen + 8)
        stop.set()
        for call in calls:
            call.result()
    assert {answer.status_code for answer in answers} == {200}
    after = served.predict({"instances": [instance()]}).json()
    old, new, *made = (np.array(one["predictions"][0]["forecast"]) for one in (before, after, *map(json_of, answers)))
    assert np.abs(new - old).max() > 1e-2
    # How many were run together shows in the last digits.
    which = [np.allclose(forecast, new, rtol=1e-4) for forecast in made]
    assert all(
        np.allclose(forecast, new if is_new else old, rtol=1e-4) for forecast, is_new in zip(made, which, strict=True)
    )
    assert not which[0] and which[-1]
    assert served.http.get(f"/v1/models/{NAME}/metadata").json()["model_spec"]["version"] == "2"
    assert served.predict({"inputs": columns()}, "/versions/1").status_code == 404
    assert 'version="1"' not in served.http.get("/monitoring/prometheus/metrics").text
    # Its memory is free again.
    wait_for(lambda: old_version() is None)


def test_a_request_is_finished_by_the_version_that_started_it(
    served: Served, base: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, run = threading.Event(), threading.Event(), Servable.run
    before = served.predict({"inputs": columns()}).json()

    def slow(self: Servable, signature: str, tensors: Any) -> Any:
        if self.version == 1:
            begun.set()
            assert go.wait(SECONDS)
        return run(self, signature, tensors)

    monkeypatch.setattr(Servable, "run", slow)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(served.predict, {"inputs": columns()})
        assert begun.wait(SECONDS)
        add_version(other, base / "2")
        wait_for(lambda: states(served) == {"2": "AVAILABLE", "1": "UNLOADING"})
        go.set()
        assert call.result().json() == before
    wait_for(lambda: states(served) == {"2": "AVAILABLE", "1": "END"})


def test_an_invalid_version_is_reported_and_the_old_one_stays(served: Served, base: Path, other: Path) -> None:
    add_version(other, base / "2")
    wait_for(lambda: states(served).get("2") == "AVAILABLE")
    (base / "7").mkdir()
    (base / "7" / "saved_model.pb").write_bytes(b"no graph")
    wait_for(lambda: states(served).get("7") == "END")
    status = served.http.get(f"/v1/models/{NAME}/versions/7").json()["model_version_status"][0]
    assert status["status"]["error_code"] == "UNKNOWN" and str(base / "7") in status["status"]["error_message"]
    assert served.predict({"inputs": columns()}).status_code == 200
    # A corrected version is served.
    shutil.rmtree(base / "7")
    add_version(other, base / "7")
    wait_for(lambda: states(served).get("7") == "AVAILABLE")


def test_after_an_invalid_version_the_previous_one_is_served(base: Path, other: Path) -> None:
    repository = Repository(base)
    repository.load()
    shutil.copytree(other, base / "2")
    (base / "3").mkdir()
    (base / "3" / "saved_model.pb").write_bytes(b"no graph")
    assert repository.refresh() and repository.loaded() == [2]
    assert not repository.refresh()


def test_a_version_copied_file_by_file_is_served_once_complete(served: Served, base: Path, other: Path) -> None:
    (base / "2").mkdir()
    shutil.copy(other / "saved_model.pb", base / "2")
    wait_for(lambda: states(served).get("2") == "END")
    shutil.copytree(other, base / "2", dirs_exist_ok=True)
    wait_for(lambda: states(served).get("2") == "AVAILABLE")


def test_a_removed_version_is_replaced_by_the_previous_one(served: Served, base: Path, other: Path) -> None:
    before = served.predict({"inputs": columns()}).json()
    add_version(other, base / "2")
    wait_for(lambda: states(served).get("2") == "AVAILABLE")
    shutil.rmtree(base / "2")
    wait_for(lambda: states(served)["1"] == "AVAILABLE" and states(served)["2"] == "END")
    assert served.predict({"inputs": columns()}).json() == before
    shutil.rmtree(base / "1")
    assert served.predict({"inputs": columns()}).json() == before, "the last one stays"


def test_folders_without_a_number_do_not_count(base: Path, other: Path) -> None:
    for name in (".tmp-9", "9.part", "-9", "latest", "0", "9" * 25, "٩"):
        shutil.copytree(other, base / name)
    (base / "12").mkdir()
    (base / "13").write_text("a file")
    assert Repository(base).versions() == [1]
    shutil.copytree(other, base / "0003")
    with running(base) as served:
        assert states(served) == {"3": "AVAILABLE"}


def test_labels_keep_versions(base: Path, other: Path) -> None:
    shutil.copytree(other, base / "2")
    with running(base, labels={"stable": 1, "canary": 2}) as served:
        assert states(served) == {"2": "AVAILABLE", "1": "AVAILABLE"}
        old, new, latest = (
            served.predict({"inputs": columns()}, which).json() for which in ("/labels/stable", "/labels/canary", "")
        )
        assert new == latest != old
        assert served.predict({"inputs": columns()}, "/versions/1").json() == old
        document = served.http.get("/openapi.json").json()
        assert f"/v1/models/{NAME}/labels/{{label}}:predict" in document["paths"]
    with pytest.raises(RunError, match="version 5 for the label stable"):
        Engine.open(base, Settings(labels={"stable": 5}))


def test_one_version_alone_can_be_served(plain: Path, base: Path) -> None:
    with running(base / "1") as served:
        assert states(served) == {"1": "AVAILABLE"}
    (base / "1").rename(base / "model")
    with running(base / "model") as served:
        assert served.predict({"inputs": columns()}, "/versions/1").status_code == 200


def test_a_run_directory_is_served_by_its_saved_model(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    with pytest.raises(RunError, match="the run has no SavedModel"):
        Repository(run)
    base.rename(run / "saved_model")
    assert Repository(run).versions() == [1]


@pytest.mark.parametrize("damage", ["changed", "missing", "swapped"])
def test_a_version_of_a_run_whose_files_were_changed_is_not_loaded(damage: str, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "run" / "saved_model")
    run, version = tmp_path / "run", tmp_path / "run" / "saved_model" / "1"
    (run / "run.json").write_text(json.dumps({"files": hash_files(run)}))
    loaded: list[Path] = []

    def load(folder: Path, number: int) -> Any:
        loaded.append(folder)

    Repository(run, load=load).load()
    file = version / "saved_model.pb"
    if damage == "missing":
        (version / "assets.extra" / "tsattn.json").unlink()
        file = version / "assets.extra" / "tsattn.json"
    else:
        file.write_bytes(file.read_bytes() + b"\n" if damage == "changed" else b"another")
    for path in (run, run / "saved_model", version):
        with pytest.raises(RunError, match=f"{file.name}: .*--no-verify"):
            Repository(path, load=load).load()
    assert len(loaded) == 1
    Repository(run, load=load, verify=False).load()
    shutil.copytree(plain / "1", run / "saved_model" / "2")
    Repository(run, load=load).load()
    assert loaded[1:] == [version, run / "saved_model" / "2"], "an export into the run has no hashes there"


def test_models_that_cannot_be_served(base: Path, tmp_path: Path) -> None:
    for path, words in ((tmp_path / "nothing", "found none"), (tmp_path, "with a number")):
        with pytest.raises(RunError, match=words):
            Engine.open(path)
    (base / "1" / "assets.extra" / "tsattn.json").unlink()
    with pytest.raises(RunError, match=r"tsattn\.json: expected the metadata"):
        Engine.open(base)
    with pytest.raises(ConfigError, match="change name="):
        Engine.open(write_version(tmp_path / "1"), Settings(name="a/b"))


def write_warm_up(folder: Path, **inputs: Any) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def test_warm_up_requests_run_before_other_requests(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, run = [], Servable.run

    def recorded(self: Servable, signature: str, tensors: Any) -> Any:
        seen.append((signature, tensors["past"].shape))
        return run(self, signature, tensors)

    monkeypatch.setattr(Servable, "run", recorded)
    write_warm_up(base / "1", past=np.ones((3, 8, 1), "float32"), length=np.array([8, 8, 8], "int32"))
    Engine.open(base).close()
    assert ("serving_default", (3, 8, 1)) in seen
    assert ("attention", (1, PLAIN.context, 1)) in seen
    write_warm_up(base / "1", past=np.ones((3, 8, 2), "float32"), length=np.array([8, 8, 8], "int32"))
    with pytest.raises(RunError, match="warm-up"):
        Engine.open(base)
    (base / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no record" * 10)
    with pytest.raises(RunError, match="warm-up"):
        Engine.open(base)
