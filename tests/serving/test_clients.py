"""Third-party clients work unchanged with the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from serving.live_server import HORIZON, NAME, columns, running

# In a separate process, because its protobuf messages conflict with those of TensorFlow.
OVMS = """
import json, sys
import numpy as np
from ovmsclient import make_grpc_client, make_http_client
given = json.loads(sys.argv[3])
results = {}
for make, address in ((make_http_client, sys.argv[1]), (make_grpc_client, sys.argv[2])):
    client = make(address)
    inputs = {"past": np.array(given["past"], "float32"), "length": np.array(given["length"], "int32")}
    status = client.get_model_status("shop")
    errors = []
    for name, wrong in (("shop", {"past": inputs["past"]}), ("other", inputs)):
        try:
            client.predict(wrong, name)
        except Exception as error:
            errors.append(type(error).__name__)
    results[make.__name__] = {
        "forecasts": [client.predict(inputs, "shop", version)["forecast"].tolist() for version in (0, 1)],
        "lists": client.predict(given, "shop")["forecast"].tolist(),
        "state": {str(version): one["state"] for version, one in status.items()},
        "metadata": client.get_model_metadata("shop", 1),
        "errors": errors,
    }
print(json.dumps(results))
"""


def test_ovmsclient(plain: Path) -> None:
    with running(plain, grpc_port=0) as served:
        addresses = [f"127.0.0.1:{port}" for port in (served.server.port, served.server.grpc_port)]
        command = [sys.executable, "-c", OVMS, *addresses, json.dumps(columns())]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        known = served.predict({"inputs": columns()}).json()["outputs"]["forecast"]
    assert result.returncode == 0, result.stderr[-3000:]
    results = json.loads(result.stdout)
    for client in results.values():
        for forecast in (*client["forecasts"], client["lists"]):
            np.testing.assert_allclose(forecast, known, rtol=1e-5)
        assert client["state"] == {"1": "AVAILABLE"}
        assert client["errors"] == ["InvalidInputError", "ModelNotFoundError"]
    metadata = results["make_grpc_client"]["metadata"]
    assert metadata["model_version"] == 1
    assert metadata["inputs"]["past"] == {"shape": [-1, -1, 1], "dtype": "DT_FLOAT"}


def test_tritonclient(plain: Path) -> None:
    http = pytest.importorskip("tritonclient.http", reason="tritonclient, from the extra dev, is not installed")
    errors = pytest.importorskip("tritonclient.utils", reason="tritonclient, from the extra dev, is not installed")
    past, length = np.array(columns()["past"], "float32"), np.array([9], "int32")
    past[0, 2] = np.nan
    with running(plain) as served:
        client = http.InferenceServerClient(f"127.0.0.1:{served.server.port}")
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready(NAME) and client.is_model_ready(NAME, "1") and not client.is_model_ready("other")
        assert client.get_server_metadata()["name"] == "tsattn"
        assert client.get_model_metadata(NAME)["platform"] == "tensorflow_savedmodel"
        inputs = [http.InferInput("past", past.shape, "FP32"), http.InferInput("length", length.shape, "INT32")]
        for tensor, values in zip(inputs, (past, length), strict=True):
            tensor.set_data_from_numpy(values, binary_data=False)
        wanted = [http.InferRequestedOutput("forecast", binary_data=False)]
        answer = client.infer(NAME, inputs, outputs=wanted, request_id="seven")
        assert answer.get_response()["id"] == "seven" and answer.as_numpy("quantiles") is None
        text = json.dumps({"inputs": {"past": past.tolist(), "length": [9]}})
        known = served.predict(text).json()["outputs"]["forecast"]
        np.testing.assert_allclose(answer.as_numpy("forecast"), known, rtol=1e-6)
        assert client.infer(NAME, inputs).as_numpy("quantiles").shape == (1, HORIZON, 1, 3)
        with pytest.raises(errors.InferenceServerException, match="missing: length"):
            client.infer(NAME, inputs[:1])
        inputs[1].set_data_from_numpy(length)
        with pytest.raises(errors.InferenceServerException, match="binary_data=False"):
            client.infer(NAME, inputs)
        client.close()
