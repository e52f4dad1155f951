"""Ten thousand malformed requests: each gets 4xx and an error in JSON, and valid ones are answered in between."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from serving.live_server import NAME, SECONDS, Served, instance

CASES = 10_000

CONNECTIONS = 8

GOOD = {
    f"/v1/models/{NAME}:predict": {"instances": [instance(4), instance(4)], "signature_name": "serving_default"},
    f"/v1/models/{NAME}/versions/1:predict": {"inputs": {"past": [instance(3)["past"]], "length": [3]}},
    f"/v2/models/{NAME}/infer": {
        "id": "seven",
        "inputs": [
            {"name": "past", "shape": [1, 2, 1], "datatype": "FP32", "data": [1.5, 2]},
            {"name": "length", "shape": [1], "datatype": "INT32", "data": [2]},
        ],
        "outputs": [{"name": "forecast"}],
    },
    "/v1/forecast": {
        "records": [{"unique_id": "a", "ds": f"2020-{month:02}-01", "y": month} for month in range(1, 13)]
    },
}

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**70), 1e39, 1e308, float("nan"), float("inf"), "", "1", "NaN"),
    *("\ud800", "\0", "ü", "x" * 300, "../../etc/passwd", [], {}, [[]], [[[]]], [None], [True], [[1], [2, 3]]),
    *({"b64": "AAAA"}, {"b64": "?"}, {"b64": None}, {"": 1}, {"past": {}}, [{}], [[[[[1]]]]], list(range(50))),
)


PIECES = (b"[" * 5000, b'{"a":' * 3000, b"NaN", b"1e999", b"-", b"\\u0000", b'"', b"Inf", b"\\")


def damaged(value: Any, rng: random.Random) -> Any:
    """Return a value with one part replaced, removed, wrapped or duplicated."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        act = rng.random()
        if act < 0.15:
            return {name: part for name, part in value.items() if name != key}
        if act < 0.25:
            return {**value, rng.choice(["", "extra", "b64", key.upper(), key + " "]): value[key]}
        return {**value, key: damaged(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        act = rng.random()
        if act < 0.15:
            return value[:at] + value[at + 1 :]
        if act < 0.25:
            return [*value, value[at]]
        return [*value[:at], damaged(value[at], rng), *value[at + 1 :]]
    return rng.choice([[value], {"value": value}, str(value), *ODD])


def garbled(text: bytes, rng: random.Random) -> bytes:
    """Return bytes with some removed, changed, inserted or repeated."""
    at, size = rng.randrange(len(text)), rng.randrange(1, 9)
    ways: list[Callable[[], bytes]] = [
        lambda: text[:at],
        lambda: text[at:],
        lambda: text[:at] + text[at + size :],
        lambda: text[:at] + rng.randbytes(size) + text[at:],
        lambda: text[:at] + rng.randbytes(size) + text[at + size :],
        lambda: text[:at] + text[at : at + size] * rng.randrange(2, 50) + text[at:],
        lambda: (
            text[:at] + rng.choice([b"[" * 5000, b'{"a":' * 3000, b"NaN", b"1e999", b"-", b"\\u0000", b'"']) + text[at:]
        ),
        lambda: rng.randbytes(rng.randrange(40)),
    ]
    return rng.choice(ways)()


def request(number: int) -> bytes:
    """Return the request of a number, always the same."""
    rng = random.Random(number)
    path, body = rng.choice(list(GOOD.items()))
    content = json.dumps(damaged(body, rng)).encode()
    if rng.random() < 0.5:
        content = garbled(json.dumps(body).encode(), rng)
    return sent(path, content)


def sent(path: str, content: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def ask(served: Served, numbers: range) -> dict[int, int]:
    """Send requests sequentially on one connection, and count the responses by status."""
    reader, writer = await asyncio.open_connection(*served.address)
    statuses: dict[int, int] = {}
    for number in numbers:
        asked = request(number)
        writer.write(asked)
        status, body = await asyncio.wait_for(answer(reader), SECONDS)
        statuses[status] = statuses.get(status, 0) + 1
        if status != 200:
            assert 400 <= status < 500, (number, status, body, asked[:2000])
            error = json.loads(body)
            assert error.keys() == {"error"} and isinstance(error["error"], str), (number, body)
        if number % 100 == 0:
            path, good = next(iter(GOOD.items()))
            writer.write(sent(path, json.dumps(good).encode()))
            assert (await asyncio.wait_for(answer(reader), SECONDS))[0] == 200, number
    writer.close()
    return statuses


def fuzz(served: Served, cases: int) -> dict[int, int]:
    async def all_of_them() -> list[dict[int, int]]:
        parts = [range(first, cases, CONNECTIONS) for first in range(CONNECTIONS)]
        return await asyncio.gather(*[ask(served, part) for part in parts])

    total: dict[int, int] = {}
    for statuses in asyncio.run(all_of_them()):
        for status, count in statuses.items():
            total[status] = total.get(status, 0) + count
    return total


def check(served: Served, cases: int) -> None:
    for path, body in GOOD.items():
        assert served.http.post(path, json=body).status_code == 200
    statuses = fuzz(served, cases)
    assert sum(statuses.values()) == cases
    # Some changes are harmless: an extra key, another number.
    assert statuses.pop(200) < cases / 3
    for path, body in GOOD.items():
        assert served.http.post(path, json=body).status_code == 200


def test_hundreds_of_malformed_requests(served: Served) -> None:
    check(served, CASES // 20)


@pytest.mark.slow
def test_thousands_of_malformed_requests(served: Served) -> None:
    check(served, CASES)
