"""TensorFlow Serving's gRPC API: PredictionService and ModelService."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tsattn.errors import RunError
from tsattn.export.metadata import SERVING
from tsattn.serving import errors
from tsattn.serving.engine import LOG, Engine
from tsattn.serving.errors import NOT_IMPLEMENTED, ServingError, bad_request, quote_value
from tsattn.serving.http import check_token
from tsattn.serving.servable import Array, Servable, TensorInfo
from tsattn.serving.settings import Settings

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

PREDICTION_SERVICE, MODEL_SERVICE = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"


async def start_grpc(engine: Engine, settings: Settings) -> tuple[Any, int]:
    """Start the gRPC server on the running event loop, and return it with its port."""
    options = [
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        ("grpc.max_send_message_length", settings.max_response_bytes),
        # Otherwise two servers can listen on one port, and each receives half of the calls.
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(
        options=options, maximum_concurrent_rpcs=settings.max_connections, interceptors=[_ReadableMessages()]
    )
    handler = _CallHandler(engine, settings)
    await _add_health_service(server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(handler), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(handler), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError:
        port = 0
    if port == 0:
        raise RunError(
            f"{host}:{settings.grpc_port}: another program uses the port", "set {grpc_port} to another one, or to 0"
        )
    await server.start()
    return server, port


async def _add_health_service(server: Any) -> None:
    """Add the standard health service, for the whole server and for each of its services."""
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for service in ("", PREDICTION_SERVICE, MODEL_SERVICE):
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)


class _ReadableMessages(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Answers a message that is not one of the method with INVALID_ARGUMENT, which gRPC answers as a server error."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a method, with a check of its message."""
        found = await continuation(details)
        if found is None or found.unary_unary is None:
            return found

        def read(message: bytes) -> Any:
            try:
                return found.request_deserializer(message)
            except DecodeError:
                return None

        async def answer(request: Any, context: Any) -> Any:
            if request is None:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, "expected a message of this method, got bytes that are not one"
                )
            return await found.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, read, found.response_serializer)


class _CallHandler:
    """Common part of all calls: the token, the model's name, errors as status codes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self._token = settings.token

    async def handle(self, context: Any, method: Callable[[], Awaitable[Any]]) -> Any:
        """Return the response of a method, or abort the call with a status code."""
        try:
            self._check_token(context)
            return await method()
        except ServingError as error:
            code, message = _CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error)
        except Exception:
            LOG.exception("a call failed")
            code, message = grpc.StatusCode.INTERNAL, "the server failed; see its log"
        await context.abort(code, message)

    def _check_token(self, context: Any) -> None:
        if self._token is None:
            return
        authorization = dict(context.invocation_metadata() or ()).get("authorization", "")
        check_token(str(authorization), self._token)

    def requested_version(self, spec: Any) -> tuple[int | None, str | None]:
        """Return the version and label of a model spec."""
        self.engine.check_name(spec.name)
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            return None, spec.version_label
        if choice == "version" and spec.version.value < 0:
            raise bad_request(f"expected a version of at least 0, got {spec.version.value}")
        return (spec.version.value, None) if choice == "version" else (None, None)

    def servable(self, spec: Any) -> Servable:
        """Return the version that a model spec names."""
        return self.engine.resolve(*self.requested_version(spec))


class _PredictionService:
    def __init__(self, handler: _CallHandler) -> None:
        self._handler = handler

    async def Predict(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, lambda: self._predict(request, context.time_remaining()))

    async def _predict(self, request: Any, seconds: float | None) -> Any:
        engine = self._handler.engine
        servable = self._handler.servable(request.model_spec)
        signature = servable.signature(request.model_spec.signature_name or SERVING)
        output_names = list(dict.fromkeys(request.output_filter)) or list(signature.outputs)
        unknown = [name for name in output_names if name not in signature.outputs]
        if unknown:
            names = ", ".join(signature.outputs)
            raise bad_request(f"output_filter: expected names of {names}, got {quote_value(unknown[0])}")
        tensors: dict[str, Any] = dict.fromkeys(request.inputs)
        if tensors.keys() == signature.inputs.keys():
            limit = engine.settings.max_request_bytes
            tensors = {name: read_tensor(request.inputs[name], info, limit) for name, info in signature.inputs.items()}
        outputs = await engine.run(servable, signature, tensors, seconds)
        response = predict_pb2.PredictResponse()
        self._fill_spec(response.model_spec, servable, signature.name)
        for name in output_names:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return response

    def _fill_spec(self, spec: Any, servable: Servable, signature: str = "") -> None:
        spec.name, spec.signature_name = self._handler.engine.name, signature
        spec.version.value = servable.version

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, lambda: self._metadata(request))

    async def _metadata(self, request: Any) -> Any:
        servable = self._handler.servable(request.model_spec)
        if not request.metadata_field or any(field != _SIGNATURES for field in request.metadata_field):
            raise bad_request(
                f'metadata_field: expected "{_SIGNATURES}", got {quote_value(list(request.metadata_field))}'
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill_spec(response.model_spec, servable)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in servable.definitions.items():
            definitions.signature_def[name].CopyFrom(definition)
        response.metadata[_SIGNATURES].Pack(definitions)
        return response

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, _reject)

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, _reject)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, _reject)


class _ModelService:
    def __init__(self, handler: _CallHandler) -> None:
        self._handler = handler

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, lambda: self._status(request))

    async def _status(self, request: Any) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        for one in self._handler.engine.statuses(*self._handler.requested_version(request.model_spec)):
            added = response.model_version_status.add(version=one.version, state=states.Value(one.state))
            added.status.error_code = tf.errors.UNKNOWN if one.error else tf.errors.OK
            added.status.error_message = one.error
        return response

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        return await self._handler.handle(context, _reject)


async def _reject() -> Any:
    """Reject methods that the model has no signature for, and those with which a client could name a folder."""
    raise ServingError(NOT_IMPLEMENTED, "expected Predict, GetModelMetadata or GetModelStatus")


def read_tensor(proto: Any, info: TensorInfo, limit: int) -> Array:
    """Return a tensor of a call as an array.

    Args:
        info: The expected tensor.
        limit: Maximum number of bytes; the size of a repeated value depends on the shape alone.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise bad_request(f'input "{info.name}": expected {info.type_text}, got an unknown shape')
    if math.prod(sizes) * info.numpy.itemsize > limit:
        raise ServingError(errors.TOO_LARGE, f'input "{info.name}": expected at most {limit} bytes, its shape has more')
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError, OverflowError, KeyError):  # KeyError: a type without arrays, such as a resource
        raise bad_request(f'input "{info.name}": expected {info.type_text}, got values that do not match') from None
