"""Batching: the same forecasts as for separate requests, isolated failures, and a limited queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.live_server import CONTEXT, HORIZON, SECONDS, Served, columns, history, running, wait_for

from tsattn.serving.engine import Engine
from tsattn.serving.errors import ServingError
from tsattn.serving.servable import Servable
from tsattn.serving.settings import Settings

Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def plain_engine(plain: Path) -> Iterator[Engine]:
    engine = Engine.open(plain, Settings(max_batch_size=64))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def covered_engine(covered: Path) -> Iterator[Engine]:
    engine = Engine.open(covered, Settings(max_batch_size=64))
    yield engine
    engine.close()


class BlockedModel:
    """A model that blocks until `go` is set; records the rows of each call."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.rows: list[int] = []

    @property
    def calls(self) -> int:
        return len(self.rows)


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockedModel]:
    """Block the model, so that requests are queued."""
    state, run = BlockedModel(), Servable.run

    def slow(self: Servable, signature: str, tensors: Tensors) -> Tensors:
        state.rows.append(len(tensors["length"]))
        assert state.go.wait(SECONDS)
        return run(self, signature, tensors)

    with monkeypatch.context() as patched:
        patched.setattr(Servable, "run", slow)
        try:
            yield state
        finally:
            state.go.set()


def plain_request(steps: int, seed: int) -> Tensors:
    rows = seed % 3 + 1
    past = np.array([history(steps, seed=seed + row) for row in range(rows)], "float32")
    past[:, ::5] = np.nan
    length = np.random.default_rng(seed).integers(-1, steps + 3, rows).astype("int32")
    return {"past": past.reshape(rows, steps, 1), "length": length}


def covered_request(steps: int, seed: int) -> Tensors:
    rows = seed % 3 + 1
    rng = np.random.default_rng(seed)
    return {
        "past": rng.normal(50, 10, (rows, steps, 2)).astype("float32"),
        "length": rng.integers(0, steps + 1, rows).astype("int32"),
        "past_covariates": rng.normal(size=(rows, steps, 2)).astype("float32"),
        "future_covariates": rng.normal(size=(rows, HORIZON, 1)).astype("float32"),
        "static_kind": rng.choice(np.array(["small", "große", "?"], dtype=object), rows),
        "static_size": rng.normal(size=rows).astype("float32"),
    }


# Shorter than the context, as long, and far longer; of no step too.
STEPS = (1, 3, CONTEXT, CONTEXT + 1, 40, 0, 7, 200, 5, 29)


async def infer(engine: Engine, signature: str, tensors: Tensors) -> Tensors:
    servable = engine.resolve()
    return await engine.run(servable, servable.signature(signature), tensors)


async def together(engine: Engine, requests: list[Tensors], signature: str, state: BlockedModel) -> list[Any]:
    """Return the outputs of requests that are queued while the model is blocked by an earlier one."""
    first = asyncio.ensure_future(infer(engine, signature, requests[0]))
    while not state.calls:
        await asyncio.sleep(0)
    tasks = [asyncio.ensure_future(infer(engine, signature, request)) for request in requests]
    for _ in range(5):
        await asyncio.sleep(0)
    state.go.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("signature", ["serving_default", "attention"])
@pytest.mark.parametrize("kind", ["plain", "covered"])
def test_ragged_histories_have_the_forecasts_of_separate_requests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, signature: str
) -> None:
    engine: Engine = request.getfixturevalue(f"{kind}_engine")
    make = plain_request if kind == "plain" else covered_request
    requests = [make(steps, seed) for seed, steps in enumerate(STEPS)]
    servable = engine.resolve()
    texts = [servable.signature(signature).check(one) for one in requests]
    alone = [servable.run(signature, one) for one in texts]
    with held(monkeypatch) as state:
        answers = asyncio.run(together(engine, requests, signature, state))
    assert state.rows[1:] == [sum(len(one["length"]) for one in requests)]
    for one, known, answer in zip(requests, alone, answers, strict=True):
        seen = np.where(np.isfinite(one["past"]), one["past"], np.nan).reshape(-1)
        scale = np.nanstd(seen) if np.isfinite(seen).any() else 1.0
        assert answer.keys() == known.keys()
        for name, values in known.items():
            assert answer[name].dtype == values.dtype
            bound = 0 if values.dtype.kind == "i" else 1e-5 * max(scale, 1e-3)
            np.testing.assert_allclose(answer[name], values, rtol=0, atol=bound)


def test_a_rejected_request_does_not_fail_others(plain_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Servable.run

    def choosy(self: Servable, signature: str, tensors: Tensors) -> Tensors:
        if (tensors["past"] == 13).any():
            raise ServingError(400, "the model refuses these inputs: 13")
        return run(self, signature, tensors)

    monkeypatch.setattr(Servable, "run", choosy)
    requests = [plain_request(5, seed) for seed in range(6)]
    requests[2]["past"][:] = 13
    with held(monkeypatch) as state:
        answers = asyncio.run(together(plain_engine, requests, "serving_default", state))
    assert isinstance(answers[2], ServingError) and answers[2].status == 400
    assert all(answer["forecast"].shape[1] == HORIZON for at, answer in enumerate(answers) if at != 2)


def test_a_cancelled_request_does_not_run(plain_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(state: BlockedModel) -> Any:
        first = asyncio.ensure_future(infer(plain_engine, "serving_default", plain_request(5, 0)))
        while not state.calls:
            await asyncio.sleep(0)
        gone, stays = (
            asyncio.ensure_future(infer(plain_engine, "serving_default", plain_request(5, seed))) for seed in (1, 2)
        )
        await asyncio.sleep(0)
        gone.cancel()
        state.go.set()
        return await asyncio.gather(first, gone, stays, return_exceptions=True)

    with held(monkeypatch) as state:
        first, gone, stays = asyncio.run(scene(state))
    assert isinstance(gone, asyncio.CancelledError)
    assert len(first["forecast"]) == 1 and len(stays["forecast"]) == 3
    assert state.rows == [1, 3]


def test_signatures_are_not_mixed(plain_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(state: BlockedModel) -> Any:
        names = ["serving_default", "attention"] * 3
        first = asyncio.ensure_future(infer(plain_engine, "attention", plain_request(5, 0)))
        while not state.calls:
            await asyncio.sleep(0)
        tasks = [asyncio.ensure_future(infer(plain_engine, name, plain_request(5, 0))) for name in names]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        state.go.set()
        await first
        return await asyncio.gather(*tasks)

    with held(monkeypatch) as state:
        answers = asyncio.run(scene(state))
    assert state.rows == [1, 3, 3]
    assert ["attention" in answer for answer in answers] == [False, True] * 3


def test_a_full_queue_gives_429_and_a_timeout_504(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        running(plain, max_batch_size=2, max_enqueued_batches=1, request_timeout=4.0) as served,
        held(monkeypatch) as state,
        ThreadPoolExecutor(8) as pool,
    ):

        def waiting() -> float | None:
            return served.engine.metrics.registry.get_sample_value("tsattn_queue_rows")

        calls = [pool.submit(served.predict, {"inputs": columns()})]
        wait_for(lambda: state.calls == 1)
        for rows in (1, 2):
            calls.append(pool.submit(served.predict, {"inputs": columns()}))
            wait_for(lambda rows=rows: waiting() == rows)
        refused = served.predict({"inputs": columns()})
        assert refused.status_code == 429 and refused.headers["retry-after"] and "error" in refused.json()
        late = [call.result() for call in calls]
        assert [answer.status_code for answer in late] == [504] * 3
        assert "4 seconds" in late[0].json()["error"]
        assert waiting() == 0
        state.go.set()
        assert served.predict({"inputs": columns()}).status_code == 200


def test_without_batching_each_request_runs_separately(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.open(plain, Settings(batching=False))
    requests = [plain_request(5, 0) for _ in range(4)]
    with held(monkeypatch) as state:
        answers = asyncio.run(together(engine, requests, "serving_default", state))
    engine.close()
    assert state.rows == [1] * 5 and len(answers) == 4


def test_a_batch_can_wait_for_more_requests(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.open(plain, Settings(batch_timeout_micros=10_000_000, max_batch_size=3))

    async def scene() -> list[Any]:
        # The third fills the batch, long before the time is over.
        return await asyncio.gather(*[infer(engine, "serving_default", plain_request(5, 0)) for _ in range(3)])

    with held(monkeypatch) as state:
        state.go.set()
        asyncio.run(scene())
    engine.close()
    assert state.rows == [3]


def test_batches_are_counted(served: Served) -> None:
    served.predict({"inputs": columns()})
    text = served.http.get("/monitoring/prometheus/metrics").text
    for line in (
        'tsattn_requests_total{method="predict",status="200"}',
        'tsattn_request_seconds_count{method="predict"}',
        'tsattn_inferences_total{outcome="ok",signature="serving_default"}',
        "tsattn_batch_rows_count",
        "tsattn_queue_rows 0.0",
        'tsattn_version_loaded{model="shop",version="1"} 1.0',
    ):
        assert line in text
