"""Asks an endpoint as users of KServe do, over HTTP and gRPC. Says on its last line, as JSON, what each was answered."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

url, grpc_address = sys.argv[1], sys.argv[2]
COLOURS = ["red", "blau\u00df", "blue"]
NUMBERS = [0.5, -1.0, 2.0]


def request(binary):
    colour = InferInput("color", [3], "BYTES", data=COLOURS if not binary else None)
    x = InferInput("x", [3, 1], "FP32", data=NUMBERS if not binary else None)
    if binary:
        colour.set_data_from_numpy(np.array(COLOURS, dtype=object), binary_data=True)
        x.set_data_from_numpy(np.array(NUMBERS, dtype=np.float32).reshape(3, 1), binary_data=True)
    return InferRequest("shade", [colour, x], request_id=f"kserve-{binary}")


def answer(response):
    outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
    return {"id": response.id, "probability": outputs["probability"], "ids": [str(one, "utf-8") if isinstance(one, bytes) else one for one in outputs["prediction_id"]]}


async def main():
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    grpc = InferenceGRPCClient(grpc_address)
    said = {
        "rest": answer(await rest.infer(url, request(False), "shade")),
        "binary": answer(await rest.infer(url, request(True), "shade")),
        "ready": [await rest.is_server_live(url), await rest.is_server_ready(url), await rest.is_model_ready(url, "shade")],
        "grpc": answer(await grpc.infer(request(False))),
        "grpc_ready": [await grpc.is_server_live(), await grpc.is_server_ready(), await grpc.is_model_ready("shade")],
    }
    await rest.close()
    await grpc.close()
    print(json.dumps(said))


asyncio.run(main())
