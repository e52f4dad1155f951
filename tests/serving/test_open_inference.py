"""The Open Inference Protocol in JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from serving.live_server import HORIZON, NAME, Json, Served, columns, history
from serving.test_bad_requests import check_error

PAST = {"name": "past", "shape": [1, 2, 1], "datatype": "FP32", "data": [1.5, 2]}
LENGTH = {"name": "length", "shape": [1], "datatype": "INT32", "data": [2]}
GOOD = {"inputs": [PAST, LENGTH]}


def test_it_returns_the_outputs_of_predict(served: Served) -> None:
    known = served.predict({"inputs": columns(9)}).json()["outputs"]
    past = columns(9)["past"]
    shapes = {"past": {"shape": [1, 9, 1]}, "length": {"shape": [1]}}
    for data in (past, np.ravel(past).tolist()):
        inputs = [{**PAST, **shapes["past"], "data": data}, {**LENGTH, "data": [9]}]
        made = served.infer({"id": "seven", "inputs": inputs}).json()
        assert made["model_name"] == NAME and made["model_version"] == "1" and made["id"] == "seven"
        outputs = {output["name"]: output for output in made["outputs"]}
        assert outputs.keys() == known.keys()
        assert outputs["forecast"]["shape"] == [1, HORIZON, 1] and outputs["forecast"]["datatype"] == "FP32"
        np.testing.assert_allclose(outputs["forecast"]["data"], np.ravel(known["forecast"]), rtol=1e-6)


def test_histories_that_float32_cannot_hold_are_refused(served: Served) -> None:
    counter, huge = [1e8 + step % 12 for step in range(30)], [1e300 + 1e299 * step for step in range(30)]
    for values, message in ((counter, "resolution of float32"), (huge, "out of range")):
        for data in (values, [[[value] for value in values]]):
            inputs = [{**PAST, "shape": [1, 30, 1], "data": data}, {**LENGTH, "data": [30]}]
            assert message in check_error(served.infer({"inputs": inputs}), 400)


def test_outputs_and_signature_can_be_chosen(served: Served) -> None:
    made = served.infer({**GOOD, "outputs": [{"name": "quantiles"}]}).json()
    assert [output["name"] for output in made["outputs"]] == ["quantiles"] and "id" not in made
    attention = served.infer({**GOOD, "parameters": {"signature_name": "attention"}}).json()
    kinds = {output["name"]: output["datatype"] for output in attention["outputs"]}
    assert kinds == {"attention": "FP32", "key_steps": "INT32", "query_steps": "INT32"}


def test_texts_are_bytes(served_covered: Served) -> None:
    inputs = [
        {"name": "past", "shape": [1, 3, 2], "datatype": "FP32", "data": history(3, 2)},
        {**LENGTH, "data": [3]},
        {"name": "past_covariates", "shape": [1, 3, 2], "datatype": "FP32", "data": history(3, 2)},
        {"name": "future_covariates", "shape": [1, HORIZON, 1], "datatype": "FP32", "data": history(HORIZON)},
        {"name": "static_kind", "shape": [1], "datatype": "BYTES", "data": ["small"]},
        {"name": "static_size", "shape": [1], "datatype": "FP32", "data": [2]},
    ]
    assert served_covered.infer({"inputs": inputs}).status_code == 200
    inputs[4]["data"] = [5]
    check_error(served_covered.infer({"inputs": inputs}), 400)


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/health"])
def test_health(served: Served, path: str) -> None:
    assert served.http.get(path).status_code == 200


def test_metadata(served: Served) -> None:
    assert served.http.get("/v2").json()["name"] == "tsattn"
    for which in ("", "/versions/1"):
        metadata = served.http.get(f"/v2/models/{NAME}{which}").json()
        assert metadata["versions"] == ["1"] and metadata["platform"] == "tensorflow_savedmodel"
        assert {"name": "past", "datatype": "FP32", "shape": [-1, -1, 1]} in metadata["inputs"]
        assert served.http.get(f"/v2/models/{NAME}{which}/ready").status_code == 200


BAD: dict[str, Any] = {
    "a list": [],
    "no inputs": {},
    "inputs by name": {"inputs": {"past": [1]}},
    "an input of null": {"inputs": [None, LENGTH]},
    "missing input": {"inputs": [PAST]},
    "an input twice": {"inputs": [PAST, PAST, LENGTH]},
    "unknown input": {"inputs": [PAST, LENGTH, {**PAST, "name": "future"}]},
    "no name": {"inputs": [{**PAST, "name": None}, LENGTH]},
    "another type": {"inputs": [{**PAST, "datatype": "FP64"}, LENGTH]},
    "no type": {"inputs": [{"name": "past", "shape": [1, 2, 1], "data": [1, 2]}, LENGTH]},
    "a type that is none": {"inputs": [{**PAST, "datatype": ["FP32"]}, LENGTH]},
    "no shape": {"inputs": [{**PAST, "shape": None}, LENGTH]},
    "another shape": {"inputs": [{**PAST, "shape": [1, 1, 2]}, LENGTH]},
    "a shape of other size": {"inputs": [{**PAST, "shape": [1, 3, 1]}, LENGTH]},
    "a negative shape": {"inputs": [{**PAST, "shape": [-1, -2, 1]}, LENGTH]},
    "a shape of bools": {"inputs": [{**PAST, "shape": [True, 2, True]}, LENGTH]},
    "a huge shape": {"inputs": [{**PAST, "shape": [2**70, 2, 1]}, LENGTH]},
    "a huge shape of nothing": {"inputs": [{**PAST, "shape": [2**31 - 1, 0, 1], "data": []}, LENGTH]},
    "a shape of 100 axes": {"inputs": [{**PAST, "shape": [1] * 99 + [2]}, LENGTH]},
    "no data": {"inputs": [{**PAST, "data": None}, LENGTH]},
    "ragged data": {"inputs": [{**PAST, "data": [[1], [2, 3]]}, LENGTH]},
    "a bool": {"inputs": [{**PAST, "data": [1, True]}, LENGTH]},
    "a float for a length": {"inputs": [PAST, {**LENGTH, "data": [2.0]}]},
    "no rows": {"inputs": [{**PAST, "shape": [0, 2, 1], "data": []}, {**LENGTH, "shape": [0], "data": []}]},
    "a number for an id": {**GOOD, "id": 5},
    "parameters of null": {**GOOD, "parameters": None},
    "a number for a signature": {**GOOD, "parameters": {"signature_name": 5}},
    "unknown signature": {**GOOD, "parameters": {"signature_name": "train"}},
    "unknown output": {**GOOD, "outputs": [{"name": "loss"}]},
    "output of null": {**GOOD, "outputs": [None]},
    "outputs by name": {**GOOD, "outputs": {"forecast": {}}},
    "an output of a list": {**GOOD, "outputs": [{"name": []}]},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_bad_requests(served: Served, body: Json) -> None:
    check_error(served.infer(body), 400)
    assert served.infer(GOOD).status_code == 200


def test_binary_tensors_are_refused_clearly(served: Served) -> None:
    error = check_error(served.infer(GOOD, headers={"inference-header-content-length": "30"}), 400)
    assert "binary_data=False" in error
