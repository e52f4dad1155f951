"""TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from serving.live_server import CONTEXT, HORIZON, NAME, Served, columns, history, instance


def called(folder: Path, signature: str = "serving_default", **inputs: Any) -> dict[str, Any]:
    """Return the outputs of TensorFlow for inputs."""
    function = tf.saved_model.load(str(folder / "1")).signatures[signature]
    types = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
    outputs = function(**{name: tf.constant(value, types[name]) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def test_row_format(served: Served, plain: Path) -> None:
    rows = [instance(9, seed=1), instance(9, seed=2)]
    answer = served.predict({"instances": rows})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    made = answer.json()["predictions"]
    known = called(plain, past=[row["past"] for row in rows], length=[9, 9])
    assert len(made) == 2 and made[0].keys() == {"forecast", "quantiles"}
    for name, values in known.items():
        np.testing.assert_allclose([row[name] for row in made], values, rtol=1e-5)


def test_column_format(served: Served, plain: Path) -> None:
    made = served.predict({"inputs": columns(30), "signature_name": "serving_default"}).json()["outputs"]
    for name, values in called(plain, **columns(30)).items():
        np.testing.assert_allclose(made[name], values, rtol=1e-5)


def test_attention_steps_of_a_history_longer_than_the_context(served: Served, plain: Path) -> None:
    given = {"past": [history(40), history(40, seed=3)], "length": [40, 21]}
    made = served.predict({"inputs": given, "signature_name": "attention"}).json()["outputs"]
    known = called(plain, "attention", **given)
    assert made.keys() == known.keys()
    np.testing.assert_array_equal(made["key_steps"], known["key_steps"])
    assert np.max(made["key_steps"]) == 39
    np.testing.assert_allclose(made["attention"], known["attention"], atol=1e-5)


def test_histories_beyond_the_resolution_of_float32_are_refused(served: Served) -> None:
    past = [[48_123_457.25 + step / 4] for step in range(30)]
    for body in ({"inputs": {"past": [past], "length": [30]}}, {"instances": [{"past": past, "length": 30}]}):
        refused = served.predict(body)
        assert refused.status_code == 400 and "resolution of float32" in refused.json()["error"]
    refused = served.predict({"inputs": {"past": [[[1e300], [2e300]]], "length": [2]}})
    assert refused.status_code == 400 and "out of range" in refused.json()["error"]
    level = [[48_123_457 + 4000 * step] for step in range(30)]
    assert served.predict({"inputs": {"past": [level], "length": [30]}}).status_code == 200


def test_missing_values_are_nan_both_ways(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    body = '{"inputs": {"past": [[[NaN], [2], [NaN], [4]]], "length": [4]}}'
    made = served.predict(body)
    assert made.status_code == 200
    assert np.isfinite(made.json()["outputs"]["forecast"]).all()
    for infinity in ("Infinity", "-Infinity", "Inf", "-Inf"):
        refused = served.predict(body.replace("[2]", f"[{infinity}]"))
        assert refused.status_code == 400 and 'input "past"' in refused.json()["error"]
    nothing = served.predict(body.replace("2", "NaN").replace("4]]]", "NaN]]]"))
    assert nothing.status_code == 200 and np.isnan(nothing.json()["outputs"]["forecast"]).all()
    run = type(served.engine.resolve()).run

    def with_gaps(self: Any, signature: str, tensors: Any) -> Any:
        outputs = run(self, signature, tensors)
        forecast = outputs["forecast"].copy()
        forecast[0, :3, 0] = np.nan, np.inf, -np.inf
        return {**outputs, "forecast": forecast}

    monkeypatch.setattr(type(served.engine.resolve()), "run", with_gaps)
    text = served.predict({"inputs": columns()}).text
    assert '"forecast":[[[NaN],[Infinity],[-Infinity],[' in text
    values = json.loads(text)["outputs"]["forecast"][0]
    assert math.isnan(values[0][0]) and values[2][0] == -math.inf


@pytest.mark.parametrize("which", ["", "/versions/1", "/versions/0", "/versions/01", "/labels/stable"])
def test_versions_and_labels(served: Served, which: str) -> None:
    assert served.predict({"inputs": columns()}, which).status_code == 200
    status = served.http.get(f"/v1/models/{NAME}{which}")
    assert status.json() == {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    assert served.http.get(f"/v1/models/{NAME}{which}/metadata").json()["model_spec"]["version"] == "1"


def test_metadata_has_the_shapes_of_the_graph(served: Served) -> None:
    metadata = served.http.get(f"/v1/models/{NAME}/metadata").json()
    assert metadata["model_spec"] == {"name": NAME, "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    past = signature["inputs"]["past"]
    assert past["dtype"] == "DT_FLOAT" and past["name"] == "serving_default_past:0"
    sizes = [{"size": size, "name": ""} for size in ("-1", "-1", "1")]
    assert past["tensor_shape"] == {"dim": sizes, "unknown_rank": False}
    assert [dim["size"] for dim in signature["outputs"]["forecast"]["tensor_shape"]["dim"]] == ["-1", str(HORIZON), "1"]


def covered_row() -> dict[str, Any]:
    return {
        "past": history(5, 2),
        "length": 5,
        "past_covariates": history(5, 2, seed=1),
        "future_covariates": history(HORIZON, 1, seed=2),
        "static_kind": "große",
        "static_size": 3,
    }


def test_covariates_and_texts(served_covered: Served, covered: Path) -> None:
    row = covered_row()
    known = called(covered, **{name: [value] for name, value in row.items()})["forecast"]
    for kind in ("große", {"b64": base64.b64encode("große".encode()).decode()}):
        answer = served_covered.predict({"instances": [{**row, "static_kind": kind}]})
        np.testing.assert_allclose([answer.json()["predictions"][0]["forecast"]], known, rtol=1e-5)
    unknown = served_covered.predict({"instances": [{**row, "static_kind": {"b64": "//8="}}]})
    assert unknown.status_code == 200
    assert unknown.json()["predictions"][0]["forecast"] != known[0].tolist()


def test_inputs_with_time_need_the_same_length(served_covered: Served) -> None:
    answer = served_covered.predict({"instances": [{**covered_row(), "past_covariates": history(4, 2)}]})
    assert answer.status_code == 400 and "time steps" in answer.json()["error"]


@pytest.mark.parametrize("length", [-3, 0, 2, 9, 2**31 - 1])
def test_length_has_the_meaning_of_the_graph(served: Served, plain: Path, length: int) -> None:
    given = {"past": [history(9)], "length": [length]}
    known = called(plain, **given)["forecast"]
    np.testing.assert_allclose(served.predict({"inputs": given}).json()["outputs"]["forecast"], known, rtol=1e-5)


def test_an_empty_history_is_valid(served: Served) -> None:
    answer = served.predict({"instances": [{"past": [], "length": 0}]})
    assert answer.status_code == 200 and len(answer.json()["predictions"][0]["forecast"]) == HORIZON


def test_a_long_history_is_cropped_as_the_graph_does(served: Served) -> None:
    whole = instance(300)
    last = {"past": whole["past"][-CONTEXT:], "length": CONTEXT}
    made = [served.predict({"instances": [row]}).json()["predictions"][0]["forecast"] for row in (whole, last)]
    np.testing.assert_allclose(made[0], made[1], rtol=1e-6)


def test_more_rows_than_a_batch_are_answered_in_order(served: Served, plain: Path) -> None:
    count = 2 * served.engine.settings.max_batch_size + 5
    past = [history(6, seed=number) for number in range(count)]
    made = served.predict({"inputs": {"past": past, "length": [6] * count}}).json()["outputs"]
    known = called(plain, past=past, length=[6] * count)
    np.testing.assert_allclose(made["quantiles"], known["quantiles"], rtol=1e-5)


def test_other_methods_need_other_signatures(served: Served) -> None:
    for call in ("classify", "regress"):
        answer = served.predict({"examples": [{}]}, call=call)
        assert answer.status_code == 400 and f"tensorflow/serving/{call}" in answer.json()["error"]
