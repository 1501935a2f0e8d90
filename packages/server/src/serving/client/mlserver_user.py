"""Asks an endpoint as users of MLServer do: with its codecs over HTTP and gRPC. Says on its last line, as JSON, what each was answered."""

import json
import sys

import grpc
import httpx
import pandas as pd

import mlserver.grpc.converters as converters
import mlserver.grpc.dataplane_pb2_grpc as dataplane
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceResponse, MetadataModelResponse, MetadataServerResponse, RepositoryIndexResponse

url, grpc_address = sys.argv[1], sys.argv[2]
frame = pd.DataFrame({"color": ["red", "blau\u00df", "blue"], "x": [0.5, -1.0, 2.0]})


def answer(response):
    outputs = {output.name: output for output in response.outputs}
    return {
        "id": response.id,
        "probability": NumpyCodec.decode_output(outputs["probability"]).reshape(-1).tolist(),
        "ids": StringCodec.decode_output(outputs["prediction_id"]),
    }


request = PandasCodec.encode_request(frame, use_bytes=False)
request.id = "mlserver-rest"
rest = httpx.post(f"{url}/v2/models/shade/infer", json=request.model_dump(exclude_none=True))
rest.raise_for_status()
said = {"rest": answer(InferenceResponse.model_validate(rest.json()))}
said["server"] = MetadataServerResponse.model_validate(httpx.get(f"{url}/v2").json()).name
said["inputs"] = [[one.name, one.datatype, one.shape] for one in MetadataModelResponse.model_validate(httpx.get(f"{url}/v2/models/shade").json()).inputs]
said["index"] = [one.name for one in RepositoryIndexResponse.model_validate(httpx.post(f"{url}/v2/repository/index", json={}).json()).root]

with grpc.insecure_channel(grpc_address) as channel:
    stub = dataplane.GRPCInferenceServiceStub(channel)
    request = PandasCodec.encode_request(frame)
    request.id = "mlserver-grpc"
    response = stub.ModelInfer(converters.ModelInferRequestConverter.from_types(request, model_name="shade", model_version=None))
    said["grpc"] = answer(converters.ModelInferResponseConverter.to_types(response))
print(json.dumps(said))
