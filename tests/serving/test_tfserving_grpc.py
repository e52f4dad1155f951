"""TensorFlow Serving's gRPC API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from serving.live_server import HORIZON, NAME, SECONDS, Served, columns, history, running
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tsattn.errors import RunError
from tsattn.serving.engine import Engine
from tsattn.serving.servable import Servable
from tsattn.serving.server import Server
from tsattn.serving.settings import Settings

CODE = grpc.StatusCode

LONG = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Stubs:
    """Clients of both services."""

    def __init__(self, served: Served, channel: grpc.Channel) -> None:
        self.served = served
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, request: Any, **options: Any) -> Any:
        return self.prediction.Predict(request, timeout=options.pop("timeout", 20), **options)


@pytest.fixture(scope="module")
def stubs(plain: Path) -> Iterator[Stubs]:
    with (
        running(plain, grpc_port=0, labels={"stable": 1}, max_request_bytes=100_000) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.server.grpc_port}", options=LONG) as channel,
    ):
        yield Stubs(served, channel)


def request(signature: str = "", name: str = NAME, **inputs: Any) -> Any:
    made = predict_pb2.PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = name, signature
    given = {"past": np.array(columns(9)["past"], "float32"), "length": np.array([9], "int32"), **inputs}
    for key, value in given.items():
        if value is not None:
            made.inputs[key].CopyFrom(value if isinstance(value, TensorProto) else tf.make_tensor_proto(value))
    return made


def refused(call: Any, *given: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*given, **options)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("by", ["", "version", "label", "latest"])
def test_predict_returns_the_outputs_of_rest(stubs: Stubs, by: str) -> None:
    asked = request()
    if by == "label":
        asked.model_spec.version_label = "stable"
    elif by:
        asked.model_spec.version.value = 1 if by == "version" else 0
    answer = stubs.predict(asked)
    assert answer.model_spec.name == NAME and answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "serving_default"
    known = stubs.served.predict({"inputs": columns(9)}).json()["outputs"]
    assert answer.outputs.keys() == known.keys()
    for name, values in known.items():
        np.testing.assert_allclose(tf.make_ndarray(answer.outputs[name]), values, rtol=1e-6)


def test_signature_and_outputs_can_be_chosen(stubs: Stubs) -> None:
    asked = request("attention")
    asked.output_filter.extend(["key_steps", "attention"])
    assert stubs.predict(asked).outputs.keys() == {"key_steps", "attention"}
    asked.output_filter.append("forecast")
    assert refused(stubs.predict, asked)[0] == CODE.INVALID_ARGUMENT


def test_missing_values_and_other_types_of_numbers(stubs: Stubs) -> None:
    past = np.array(columns(9)["past"])
    past[0, 3] = np.nan
    one = stubs.predict(request(past=past.astype("float32")))
    other = stubs.predict(request(past=past, length=np.array([9], "int64")))
    assert one.outputs["forecast"] == other.outputs["forecast"]


def test_texts(covered: Path) -> None:
    past, size = np.array([history(3, 2)], "float32"), np.array([2], "float32")
    future = np.array([history(HORIZON)], "float32")
    given = {"past": past, "past_covariates": past, "future_covariates": future, "static_size": size}
    with (
        running(covered, grpc_port=0) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.server.grpc_port}") as channel,
    ):
        stubs = Stubs(served, channel)
        asked = request(**given, length=np.array([3], "int32"), static_kind=np.array(["große"]))
        answer = tf.make_ndarray(stubs.predict(asked).outputs["forecast"])
        row = {name: value.tolist() for name, value in given.items()}
        body = {"inputs": {**row, "length": [3], "static_kind": ["große"]}}
        np.testing.assert_allclose(answer, served.predict(body).json()["outputs"]["forecast"], rtol=1e-6)


def repeated(count: int) -> Any:
    """One value with a shape of many."""
    proto = tf.make_tensor_proto(np.ones((1, 1, 1), "float32"))
    proto.tensor_shape.dim[1].size = count
    return proto


def without(field: str) -> Any:
    proto = tf.make_tensor_proto(np.ones((1, 3, 1), "float32"))
    if field == "rank":
        proto.tensor_shape.Clear()
        proto.tensor_shape.unknown_rank = True
    elif field == "size":
        proto.tensor_shape.dim[1].size = -1
    elif field == "content":
        proto.tensor_content = b"\0\0\0"
    elif field == "type":
        proto.dtype = 0
    elif field == "array":
        proto.dtype = tf.resource.as_datatype_enum
    return proto


BAD = {
    "missing": ({"length": None}, CODE.INVALID_ARGUMENT),
    "unknown": ({"future": np.ones(1, "float32")}, CODE.INVALID_ARGUMENT),
    "texts": ({"past": np.array([[["1"]]])}, CODE.INVALID_ARGUMENT),
    "bools": ({"past": np.ones((1, 9, 1), bool)}, CODE.INVALID_ARGUMENT),
    "complex": ({"past": np.ones((1, 9, 1), "complex64")}, CODE.INVALID_ARGUMENT),
    "float for a length": ({"length": np.array([9.0])}, CODE.INVALID_ARGUMENT),
    "length over 32 bits": ({"length": np.array([2**31])}, CODE.INVALID_ARGUMENT),
    "no rows": ({"past": np.ones((0, 9, 1)), "length": np.ones(0, "int32")}, CODE.INVALID_ARGUMENT),
    "other axes": ({"past": np.ones((1, 9), "float32")}, CODE.INVALID_ARGUMENT),
    "a scalar": ({"length": np.int32(9)}, CODE.INVALID_ARGUMENT),
    "a value repeated for ever": ({"past": repeated(2**40)}, CODE.RESOURCE_EXHAUSTED),
    "no rank": ({"past": without("rank")}, CODE.INVALID_ARGUMENT),
    "no size": ({"past": without("size")}, CODE.INVALID_ARGUMENT),
    "half a value": ({"past": without("content")}, CODE.INVALID_ARGUMENT),
    "no type": ({"past": without("type")}, CODE.INVALID_ARGUMENT),
    "no array": ({"past": without("array")}, CODE.INVALID_ARGUMENT),
}


@pytest.mark.parametrize(("inputs", "code"), BAD.values(), ids=BAD)
def test_bad_requests(stubs: Stubs, inputs: dict[str, Any], code: grpc.StatusCode) -> None:
    assert refused(stubs.predict, request(**inputs))[0] == code
    assert stubs.predict(request()).outputs


def test_unknown_names(stubs: Stubs) -> None:
    assert refused(stubs.predict, request(name="other"))[0] == CODE.NOT_FOUND
    assert refused(stubs.predict, request("train"))[0] == CODE.INVALID_ARGUMENT
    for version, code in ((2, CODE.NOT_FOUND), (2**63 - 1, CODE.NOT_FOUND), (-1, CODE.INVALID_ARGUMENT)):
        asked = request()
        asked.model_spec.version.value = version
        assert refused(stubs.predict, asked)[0] == code
    asked = request()
    asked.model_spec.version_label = "other"
    assert refused(stubs.predict, asked)[0] == CODE.INVALID_ARGUMENT


def test_limits(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(stubs.predict, request(past=np.ones((1, 30_000, 1), "float32")))[0] == CODE.RESOURCE_EXHAUSTED
    import threading

    go, run = threading.Event(), Servable.run

    def slow(self: Servable, signature: str, tensors: Any) -> Any:
        assert go.wait(SECONDS)
        return run(self, signature, tensors)

    with monkeypatch.context() as patched:
        patched.setattr(Servable, "run", slow)
        assert refused(stubs.predict, request(), timeout=0.2)[0] == CODE.DEADLINE_EXCEEDED
        go.set()
    assert stubs.predict(request()).outputs


def test_metadata(stubs: Stubs) -> None:
    asked = get_model_metadata_pb2.GetModelMetadataRequest()
    asked.model_spec.name = NAME
    assert refused(stubs.prediction.GetModelMetadata, asked)[0] == CODE.INVALID_ARGUMENT
    asked.metadata_field.append("signature_def")
    answer = stubs.prediction.GetModelMetadata(asked)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    metadata = stubs.served.http.get(f"/v1/models/{NAME}/metadata").json()["metadata"]["signature_def"]
    known = json_format.ParseDict(metadata, get_model_metadata_pb2.SignatureDefMap())
    assert found == known


def test_status(stubs: Stubs) -> None:
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = NAME
    answer = stubs.models.GetModelStatus(asked).model_version_status
    assert [(one.version, one.state, one.status.error_code) for one in answer] == [(1, 30, 0)]
    asked.model_spec.version.value = 5
    assert refused(stubs.models.GetModelStatus, asked)[0] == CODE.NOT_FOUND


def test_unsupported_methods(stubs: Stubs) -> None:
    for call, asked in (
        (stubs.prediction.Classify, classification_pb2.ClassificationRequest()),
        (stubs.prediction.Regress, regression_pb2.RegressionRequest()),
        (stubs.prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        (stubs.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ):
        assert refused(call, asked)[0] == CODE.UNIMPLEMENTED


def test_a_token_is_required_if_one_is_set(plain: Path) -> None:
    with (
        running(plain, grpc_port=0, token="secret") as served,
        grpc.insecure_channel(f"127.0.0.1:{served.server.grpc_port}") as channel,
    ):
        stubs = Stubs(served, channel)
        assert refused(stubs.predict, request())[0] == CODE.UNAUTHENTICATED
        wrong = (("authorization", "Bearer other"),)
        assert refused(stubs.predict, request(), metadata=wrong)[0] == CODE.UNAUTHENTICATED
        assert stubs.predict(request(), metadata=(("authorization", "Bearer secret"),)).outputs


def test_a_port_in_use_is_an_error(stubs: Stubs, plain: Path) -> None:
    settings = Settings(port=0, grpc_port=stubs.served.server.grpc_port)
    with pytest.raises(RunError, match="another program uses the port"):
        Server(settings).run(Engine.open(plain, settings), signals=False)


def test_grpc_and_rest_have_the_same_messages(stubs: Stubs) -> None:
    code, message = refused(stubs.predict, request(length=None))
    answer = stubs.served.predict(json.dumps({"inputs": {"past": columns(9)["past"]}}))
    assert code == CODE.INVALID_ARGUMENT and answer.json()["error"] == message
