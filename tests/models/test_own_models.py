"""Models that are registered by name, from their module to a served graph."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import tsattn

from tsattn import Forecaster
from tsattn.config import BaseConfig
from tsattn.errors import ConfigError, RunError
from tsattn.layers import AttentionPooling
from tsattn.models import MODELS, ArchitectureOutputs, DirectHead, NetworkOptions, Segments, register, registry

PAGE = (Path(__file__).parents[2] / "docs" / "own-models.md").read_text()
QUICK: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 2, "refit": False}


@pytest.fixture(autouse=True)
def only_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test registers and imports."""
    known, path = dict(MODELS), list(sys.path)
    yield
    MODELS.clear()
    MODELS.update(known)
    sys.path[:] = path
    sys.modules.pop("my_models", None)


def days(steps: int = 100) -> pd.DataFrame:
    """A week that repeats itself."""
    values = 50 + 10 * np.sin(np.arange(steps) * 2 * np.pi / 7)
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps), "y": values})


def pooled(name: str = "pooled") -> None:
    """Register a small network."""

    @register(name, "attention pooling of embedded segments")
    class Pooled:
        def __init__(self, options: Any, spec: Any, portable: bool) -> None:
            self.segments = Segments(spec.context, options.patch_length, options.width)
            self.pooling = AttentionPooling(options.width)
            self.head = DirectHead(options, spec)

        def __call__(self, inputs: Any, target: Any = None) -> ArchitectureOutputs:
            window = self.segments(inputs)
            return ArchitectureOutputs(self.head(self.pooling(window.tokens, mask=window.mask), inputs.static))


@pytest.mark.slow
def test_a_registered_network_is_fitted_saved_and_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    pooled()
    forecaster = Forecaster("pooled", horizon=7, options={"units": 4, "ensemble_size": 2}, training=QUICK).fit(days())
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(), forecaster.predict())
    served = tf.saved_model.load(tmp_path / "run" / "saved_model" / "1").signatures["serving_default"]
    past = days()["y"].to_numpy("float32")[None, :, None]
    answer = served(past=tf.constant(past), length=tf.constant([past.shape[1]]))["forecast"].numpy().ravel()
    np.testing.assert_allclose(answer, forecaster.predict()["y"], atol=1e-5 * past.std())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["model_module"] == __name__
    del MODELS["pooled"]
    with pytest.raises(
        RunError, match=rf"'pooled' is not registered; module {re.escape(__name__)} registers it: import"
    ):
        Forecaster.load(tmp_path / "run")


@pytest.mark.usefixtures("without_export")
def test_a_registered_model_without_weights(tmp_path: Path) -> None:
    class Shift(BaseConfig):
        by: float = 1.0

    @register("shifted", "the last value and a bit", Shift)
    def shifted(options: Shift, spec: Any) -> Any:
        import keras

        def forecast(past: Any, observed: Any, length: Any) -> Any:
            last = keras.ops.max(past, axis=1, keepdims=True) + options.by
            return keras.ops.repeat(keras.ops.repeat(last[..., None], spec.horizon, 1), len(spec.levels), -1)

        return forecast

    forecaster = Forecaster("shifted", horizon=7, options={"by": 5}).fit(days())
    np.testing.assert_allclose(forecaster.predict()["y"], days()["y"].max() + 5, rtol=1e-3)
    forecaster.save(tmp_path / "run")
    pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "run").predict(), forecaster.predict())


def test_a_name_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="model auto is reserved for the best of several models"):
        register("auto", "")
    with pytest.raises(ConfigError, match="model 'tcn' is already registered by tsattn"):
        pooled("tcn")
    pooled("mine")
    pooled("mine")
    with pytest.raises(ConfigError, match="expected a name of letters"):
        pooled("my model")
    with pytest.raises(ConfigError, match="subclass of NetworkOptions"):
        register("other", "", dict)  # type: ignore[arg-type]

    class Named(NetworkOptions):
        name: str = "x"

    class Needed(NetworkOptions):
        size: int

    for options in (Named, Needed):
        with pytest.raises(ConfigError, match="needs"):
            register("other", "", options)


def test_a_module_that_cannot_be_imported_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text("import nothing_such\n")
    (tmp_path / "taken.py").write_text("from tsattn.models import register\nregister('tcn', '')(print)\n")
    for name, message in (
        ("nowhere", "found none in"),
        ("my_models.py", "nothing_such"),
        ("taken", "'tcn' is already"),
    ):
        result = tsattn("models", "--import", name)
        assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output


def test_the_models_of_installed_packages_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "mine-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tsattn.models]\nmixed = my_models\n")
    (tmp_path / "my_models.py").write_text(
        "from tsattn.models import register\nregister('packaged', 'from a package')(lambda *_: None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry._import_entry_points.cache_clear()
    assert "from a package" in tsattn("models").output
    assert tsattn("models", "packaged").exit_code == 0
    registry._import_entry_points.cache_clear()


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/own-models.md; those that train and predict in new processes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text(re.findall(r"```python\n(# my_models.*?)```", PAGE, re.S)[0])
    days(200).to_csv(tmp_path / "data.csv", index=False)
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    script = "from tsattn.cli import main; main()"
    in_process = []
    for command in commands.splitlines():
        arguments = command.split()[1:]
        if arguments[0] not in ("fit", "predict"):
            in_process.append(arguments)
            continue
        line = [sys.executable, "-c", script, *arguments]
        result = subprocess.run(line, capture_output=True, text=True, check=False)
        assert result.returncode == 0, (command, result.stderr)
    unknown = tsattn("predict", "runs/mixed")
    assert unknown.exit_code == 1 and "import my_models first" in unknown.stderr
    for arguments in in_process:
        found = tsattn(*arguments)
        assert found.exit_code == 0, (arguments, found.output)
    assert Path("runs/mixed/keras/1/model.keras").is_file()
