"""Invalid requests get an error in JSON, and the next valid request is answered."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from serving.live_server import NAME, SECONDS, Served, columns, history, instance

ROW = instance(3)
BIG = "1" + "0" * 400

BAD_BODIES: dict[str, Any] = {
    "nothing": b"",
    "no JSON": b"past=1",
    "half of it": json.dumps({"instances": [ROW]})[:-3],
    "two values": b'{"inputs": {}} {}',
    "other bytes": b'{"instances": "\xff\xfe"}',
    "UTF-16": json.dumps({"instances": [ROW]}).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps({"instances": [ROW]}).encode(),
    "a list": [ROW],
    "a number": 3,
    "null": None,
    "no tensors": {},
    "only a name": {"signature_name": "serving_default"},
    "rows and columns": {"instances": [ROW], "inputs": columns(3)},
    "a key twice": f'{{"inputs": {json.dumps(columns(3))}, "inputs": {json.dumps(columns(3))}}}',
    "an input twice": '{"inputs": {"past": [[[1]]], "length": [1], "length": [1]}}',
    "no rows": {"instances": []},
    "rows of null": {"instances": None},
    "rows by name": {"instances": {"past": [[1]], "length": 1}},
    "plain rows": {"instances": [[[1.0]], [[2.0]]]},
    "mixed rows": {"instances": [ROW, [[1.0]]]},
    "rows of other names": {"instances": [ROW, {"past": [[1.0]]}]},
    "rows of other lengths": {"instances": [ROW, instance(4)]},
    "plain columns": {"inputs": [[[1.0]]]},
    "columns of null": {"inputs": None},
    "bytes for columns": {"inputs": {"b64": "AAAA"}},
    "missing input": {"inputs": {"past": [history(3)]}},
    "missing inputs": {"inputs": {}},
    "extra input": {"inputs": {**columns(3), "future": [1]}},
    "extra input of a long name": {"inputs": {**columns(3), "x" * 5000: [1]}},
    "empty columns": {"inputs": {"past": [], "length": []}},
    "fewer lengths": {"inputs": {"past": [history(3), history(3)], "length": [3]}},
    "two channels": {"inputs": {"past": [history(3, 2)], "length": [3]}},
    "no channel axis": {"inputs": {"past": [[1, 2, 3]], "length": [3]}},
    "one axis more": {"inputs": {"past": [[[[1]]]], "length": [1]}},
    "ragged steps": {"inputs": {"past": [[[1], [2, 3]]], "length": [2]}},
    "ragged depth": {"inputs": {"past": [[[1], 2]], "length": [2]}},
    "a scalar": {"inputs": {"past": 1, "length": 1}},
    "texts": {"inputs": {"past": [[["1"]]], "length": [1]}},
    "texts among numbers": {"inputs": {"past": [[[1.5], ["2"]]], "length": [2]}},
    "a bool": {"inputs": {"past": [[[True]]], "length": [1]}},
    "a bool among numbers": {"inputs": {"past": [[[1.5], [False]]], "length": [2]}},
    "a bool for a length": {"inputs": {"past": [[[1]]], "length": [True]}},
    "null among numbers": {"inputs": {"past": [[[1.5], [None]]], "length": [2]}},
    "objects": {"inputs": {"past": [[[{}]]], "length": [1]}},
    "bytes for numbers": {"inputs": {"past": [[[{"b64": "AAAA"}]]], "length": [1]}},
    "a float for a length": {"inputs": {"past": [[[1]]], "length": [1.0]}},
    "NaN for a length": '{"inputs": {"past": [[[1]]], "length": [NaN]}}',
    "a length over 32 bits": {"inputs": {"past": [[[1]]], "length": [2**31]}},
    "a length under 32 bits": {"inputs": {"past": [[[1]]], "length": [-(2**31) - 1]}},
    "a length over 64 bits": {"inputs": {"past": [[[1]]], "length": [2**64]}},
    "an endless length": f'{{"inputs": {{"past": [[[1]]], "length": [{BIG}]}}}}',
    "a number over 32 bits": {"inputs": {"past": [[[1e39]]], "length": [1]}},
    "a number over 64 bits": '{"inputs": {"past": [[[1e400]]], "length": [1]}}',
    "an endless number": f'{{"inputs": {{"past": [[[{BIG}]]], "length": [1]}}}}',
    "a number of 10,000 digits": f'{{"inputs": {{"past": [[[{"9" * 10_000}]]], "length": [1]}}}}',
    "a word that is no number": '{"inputs": {"past": [[[nan]]], "length": [1]}}',
    "deep lists": '{"inputs": {"past": ' + "[" * 100_000 + "]" * 100_000 + ', "length": [1]}}',
    "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "lists of 100 axes": {"inputs": {"past": json.loads("[" * 100 + "1" + "]" * 100), "length": [1]}},
    "texts without an end": '{"a": Inf, "' + '\\"' * 400_000,
    "a key twice among many": "{" + ",".join(f'"{number}":0' for number in range(300_000)) + ',"7":0}',
    "very many lists": '{"inputs": {"past": [' + "[]," * 1_000_000 + '[]], "length": [1]}}',
    "very many rows": '{"instances": [' + "{}," * 1_000_000 + "{}]}",
    "bools among very many numbers": '{"inputs": {"past": [[' + "[1]," * 1_000_000 + '[true]]], "length": [1]}}',
    "unknown signature": {"inputs": columns(3), "signature_name": "train"},
    "the initialiser": {"inputs": columns(3), "signature_name": "__saved_model_init_op"},
    "a number for a signature": {"inputs": columns(3), "signature_name": 1},
    "null for a signature": {"inputs": columns(3), "signature_name": None},
}


@pytest.fixture(autouse=True)
def answers_afterwards(served: Served) -> Any:
    """Check after each test that the next valid request is answered."""
    yield
    assert served.predict({"instances": [ROW]}).status_code == 200


def check_error(answer: Any, *statuses: int) -> str:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = json.loads(answer.content)
    assert error.keys() == {"error"} and isinstance(error["error"], str) and 0 < len(error["error"]) < 1100
    return error["error"]


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_bodies(served: Served, body: Any) -> None:
    check_error(served.predict(body), 400)


ADDRESSES = {
    "/": 200,
    "/nothing": 404,
    "/v1/models": 404,
    "/v1/models/other": 404,
    "/v1/models/other/metadata": 404,
    f"/v1/models/{NAME}/": 404,
    f"/v1/models/{NAME}/versions/2": 404,
    f"/v1/models/{NAME}/versions/-1": 404,
    f"/v1/models/{NAME}/versions/one": 404,
    f"/v1/models/{NAME}/versions/1.0": 404,
    f"/v1/models/{NAME}/versions/%D9%A1": 404,
    f"/v1/models/{NAME}/versions/{2**63 - 1}": 404,
    f"/v1/models/{NAME}/versions/{2**63}": 400,
    f"/v1/models/{NAME}/versions/{'9' * 5000}": 400,
    f"/v1/models/{NAME}/versions/{2**63}/metadata": 400,
    f"/v1/models/{NAME}/labels/other": 400,
    f"/v1/models/{NAME}/labels/": 404,
    f"/v1/models/{NAME}/labels/stable/versions/1": 404,
    "/v1/models/..%2F..%2Fetc%2Fpasswd": 404,
    f"/v1/models/{NAME}/versions/..%2F1": 404,
    f"/v1/models/{NAME}%00": 404,
    f"/v2/models/{NAME}/versions/2": 404,
    f"/v2/models/{NAME}/versions/2/ready": 404,
    "/v2/models/other/ready": 404,
    "/v2/nothing": 404,
}


@pytest.mark.parametrize(("path", "status"), [(path, status) for path, status in ADDRESSES.items() if status >= 400])
def test_unknown_addresses(served: Served, path: str, status: int) -> None:
    check_error(served.http.get(path), status)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", f"/v1/models/{NAME}:predict", {"POST"}),
        ("PUT", f"/v1/models/{NAME}/versions/1:predict", {"POST"}),
        ("OPTIONS", f"/v1/models/{NAME}:classify", {"POST"}),
        ("POST", f"/v1/models/{NAME}", {"GET", "HEAD"}),
        ("DELETE", f"/v1/models/{NAME}/metadata", {"GET", "HEAD"}),
        ("POST", "/v2/health/live", {"GET", "HEAD"}),
        ("PATCH", "/v1/forecast", {"GET", "HEAD", "POST"}),
    ],
)
def test_other_methods_are_answered_with_the_allowed_ones(
    served: Served, method: str, path: str, allow: set[str]
) -> None:
    answer = served.http.request(method, path)
    check_error(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == allow


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["v1/models/other", "v1/models/other:predict", "v2/models/other/infer"])
def test_another_model_is_not_found_by_any_method(served: Served, method: str, path: str) -> None:
    error = check_error(served.http.request(method, f"/{path}", content=b"{}"), 404)
    assert "expected the model" in error and "other" in error


def test_head_has_no_body(served: Served) -> None:
    answer = served.http.head(f"/v1/models/{NAME}")
    assert answer.status_code == 200 and answer.content == b""


def test_a_compressed_body_is_refused(served: Served) -> None:
    answer = served.http.post(f"/v1/models/{NAME}:predict", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    check_error(answer, 415)


def test_a_body_may_come_in_chunks(served: Served) -> None:
    text = json.dumps({"instances": [ROW]}).encode()
    chunks = (text[at : at + 7] for at in range(0, len(text), 7))
    answer = served.http.post(f"/v1/models/{NAME}:predict", content=chunks)
    assert "content-length" not in answer.request.headers and answer.status_code == 200


def raw(served: Served, request: bytes) -> bytes:
    """Return the response to raw bytes, until the server closes the connection."""
    with socket.create_connection(served.address, SECONDS) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize(
    "head",
    [
        b"NONSENSE\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n{}",
        b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_invalid_http_is_answered_in_json(served: Served, head: bytes) -> None:
    answer = raw(served, head)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2]).keys() == {"error"}
