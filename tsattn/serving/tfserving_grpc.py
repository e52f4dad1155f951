"""TensorFlow Serving's gRPC interface: PredictionService and ModelService."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tsattn.errors import RunError
from tsattn.serving import errors
from tsattn.serving.engine import LOG, Engine
from tsattn.serving.errors import NOT_FOUND, NOT_IMPLEMENTED, ServingError, bad_request, shown
from tsattn.serving.http import check_token
from tsattn.serving.servable import DEFAULT, Array, Servable, TensorInfo
from tsattn.serving.settings import Settings
from tsattn.serving.tfserving_rest import find_statuses

_CODES = {
    errors.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UNAUTHORISED: grpc.StatusCode.UNAUTHENTICATED,
    errors.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    errors.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QUEUE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NOT_IMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    errors.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    errors.TIMED_OUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_SIGNATURES = "signature_def"


async def start_rpc(engine: Engine, settings: Settings) -> tuple[Any, int]:
    """Start gRPC on the running event loop, and return its server and port.

    Raises:
        RunError: the port is taken.
    """
    options = [
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        ("grpc.max_send_message_length", -1),
        # Two servers on one port would each get half of the calls.
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=settings.max_connections)
    door = _Door(engine, settings)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(door), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(door), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError:
        port = 0
    if port == 0:
        raise RunError(f"--grpc-port {settings.grpc_port}: another program listens there: give another one, or 0")
    await server.start()
    return server, port


class _Door:
    """What all calls share: the token, the model's name, errors as codes, counting."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self._token = settings.token

    async def answer(self, context: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return what a call answers, or end it with a code."""
        try:
            self._check_token(context)
            return await work()
        except ServingError as error:
            code, message = _CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error)
        except Exception:
            LOG.exception("a call failed")
            code, message = grpc.StatusCode.INTERNAL, "the server failed; its log says why"
        await context.abort(code, message)

    def _check_token(self, context: Any) -> None:
        if self._token is None:
            return
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        check_token(str(given), self._token)

    def named(self, spec: Any) -> tuple[int | None, str | None]:
        """Return the version and label of a model spec.

        Raises:
            ServingError: it names another model.
        """
        if spec.name != self.engine.name:
            raise ServingError(NOT_FOUND, f'expected the model "{self.engine.name}", got {shown(spec.name)}')
        which = spec.WhichOneof("version_choice")
        if which == "version_label":
            return None, spec.version_label
        if which == "version" and spec.version.value < 0:
            raise bad_request(f"expected a version that is not negative, got {spec.version.value}")
        return (spec.version.value, None) if which == "version" else (None, None)

    def servable(self, spec: Any) -> Servable:
        """Return the version that a model spec names."""
        return self.engine.resolve(*self.named(spec))


class _Prediction:
    def __init__(self, door: _Door) -> None:
        self._door = door

    async def Predict(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, lambda: self._predict(request, context.time_remaining()))

    async def _predict(self, request: Any, seconds: float | None) -> Any:
        engine = self._door.engine
        servable = self._door.servable(request.model_spec)
        signature = servable.signature(request.model_spec.signature_name or DEFAULT)
        wanted = list(dict.fromkeys(request.output_filter)) or list(signature.outputs)
        unknown = [name for name in wanted if name not in signature.outputs]
        if unknown:
            names = ", ".join(signature.outputs)
            raise bad_request(f"output_filter: expected names out of {names}, got {shown(unknown[0])}")
        tensors: dict[str, Any] = dict.fromkeys(request.inputs)
        if tensors.keys() == signature.inputs.keys():
            most = engine.settings.max_request_bytes
            tensors = {name: read_tensor(request.inputs[name], info, most) for name, info in signature.inputs.items()}
        outputs = await engine.run(servable, signature, tensors, seconds)
        response = predict_pb2.PredictResponse()
        self._tell(response.model_spec, servable, signature.name)
        for name in wanted:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return response

    def _tell(self, spec: Any, servable: Servable, signature: str = "") -> None:
        spec.name, spec.signature_name = self._door.engine.name, signature
        spec.version.value = servable.version

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, lambda: self._metadata(request))

    async def _metadata(self, request: Any) -> Any:
        servable = self._door.servable(request.model_spec)
        if not request.metadata_field or any(field != _SIGNATURES for field in request.metadata_field):
            raise bad_request(f'metadata_field: expected "{_SIGNATURES}", got {shown(list(request.metadata_field))}')
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._tell(response.model_spec, servable)
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in servable.definitions.items():
            found.signature_def[name].CopyFrom(definition)
        response.metadata[_SIGNATURES].Pack(found)
        return response

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, _refuse)

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, _refuse)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, _refuse)


class _Models:
    def __init__(self, door: _Door) -> None:
        self._door = door

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, lambda: self._status(request))

    async def _status(self, request: Any) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        for one in find_statuses(self._door.engine, *self._door.named(request.model_spec)):
            told = response.model_version_status.add(version=one.version, state=states.Value(one.state))
            told.status.error_code = tf.errors.UNKNOWN if one.error else tf.errors.OK
            told.status.error_message = one.error
        return response

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        return await self._door.answer(context, _refuse)


async def _refuse() -> Any:
    """Refuse what the model has no signature for, and what would name a folder from afar."""
    raise ServingError(NOT_IMPLEMENTED, "expected Predict, GetModelMetadata or GetModelStatus: this call is not served")


def read_tensor(proto: Any, info: TensorInfo, most: int) -> Array:
    """Return a tensor of a call.

    Args:
        proto: as it came.
        info: what it should be.
        most: bytes that it may take: of a repeated value the shape alone says how many.

    Raises:
        ServingError: it is none.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise bad_request(f'input "{info.name}": expected {info.expected}, got a shape that is not known')
    if math.prod(sizes) * info.numpy.itemsize > most:
        raise ServingError(errors.TOO_LARGE, f'input "{info.name}": expected {most} bytes at most, its shape says more')
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError, OverflowError):
        raise bad_request(f'input "{info.name}": expected {info.expected}, got values that do not make it') from None
