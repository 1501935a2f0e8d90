"""Asks an endpoint for predictions as its users do: with Triton's clients over HTTP and gRPC, and with MLflow's for deployments.

Says on its last line, as JSON, what each was answered.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from mlflow.deployments import get_deploy_client
from tritonclient.utils import InferenceServerException

url, grpc_address = sys.argv[1], sys.argv[2]
COLOURS = np.array(["red", "blau\u00df", "blue"], dtype=object)
NUMBERS = [0.5, -1.0, 2.0]


def floats(values):
    return [float(value) for value in values]


def refused(ask):
    try:
        ask()
    except InferenceServerException as error:
        return [str(error.status()), error.message()]
    raise AssertionError("it was answered")


def ask(triton, client, number, datatype, *, raw=True, **more):
    """The probabilities of the three rows, whose number comes as an array of this datatype."""
    colour = triton.InferInput("color", [3], "BYTES")
    x = triton.InferInput("x", [3, 1], datatype)
    inputs = {"binary_data": raw} if triton is triton_http else {}
    colour.set_data_from_numpy(COLOURS, **inputs)
    x.set_data_from_numpy(number.reshape(3, 1), **inputs)
    return client.infer("shade", [colour, x], **more)


def speaks(triton, client):
    """What a client of either kind does."""
    said = {}
    assert client.is_server_live() and client.is_server_ready()
    said["server"] = client.get_server_metadata(as_json=True) if triton is triton_grpc else client.get_server_metadata()
    assert client.is_model_ready("shade") and client.is_model_ready("shade", "1")
    assert not client.is_model_ready("nobody")
    metadata = client.get_model_metadata("shade", as_json=True) if triton is triton_grpc else client.get_model_metadata("shade")
    said["inputs"] = [[one["name"], one["datatype"], [int(size) for size in one["shape"]]] for one in metadata["inputs"]]
    said["probability"] = floats(ask(triton, client, np.array(NUMBERS), "FP64").as_numpy("probability"))
    by_type = {"FP64": np.float64, "FP32": np.float32, "FP16": np.float16}
    for datatype, kind in by_type.items():
        said[datatype] = floats(ask(triton, client, np.array(NUMBERS, dtype=kind), datatype).as_numpy("probability"))
    for bits in (8, 16, 32, 64):
        for sign, kind in (("INT", f"int{bits}"), ("UINT", f"uint{bits}")):
            numbers = np.array([1, 2, 3], dtype=kind)
            said[f"{sign}{bits}"] = floats(ask(triton, client, numbers, f"{sign}{bits}").as_numpy("probability"))
    chosen = ask(triton, client, np.array(NUMBERS), "FP64", request_id=f"{triton.__name__}-1", model_version="1", outputs=[triton.InferRequestedOutput("prediction_id")])
    said["ids"] = [value.decode() for value in chosen.as_numpy("prediction_id")]
    assert chosen.as_numpy("probability") is None
    client.load_model("shade")
    client.unload_model("shade")
    said["again"] = floats(ask(triton, client, np.array(NUMBERS), "FP64").as_numpy("probability"))
    index = client.get_model_repository_index(as_json=True) if triton is triton_grpc else client.get_model_repository_index()
    said["index"] = [[one["name"], one["version"], one["state"]] for one in (index["models"] if triton is triton_grpc else index)]
    said["refused"] = {
        "type": refused(lambda: ask(triton, client, np.array([True, False, True]), "BOOL")),
        "model": refused(lambda: client.get_model_metadata("nobody")),
        "large": refused(lambda: ask(triton, client, np.array([2**53, 1, 2]), "INT64")),
        "version": refused(lambda: ask(triton, client, np.array(NUMBERS), "FP64", model_version="99")),
    }
    return said


http = triton_http.InferenceServerClient(url.removeprefix("http://"))
grpc = triton_grpc.InferenceServerClient(grpc_address)
said = {"http": speaks(triton_http, http), "grpc": speaks(triton_grpc, grpc)}
said["json"] = floats(
    ask(
        triton_http, http, np.array(NUMBERS), "FP64", raw=False, outputs=[triton_http.InferRequestedOutput("probability", binary_data=False)]
    ).as_numpy("probability")
)
said["packed"] = {
    encoding: floats(ask(triton_http, http, np.array(NUMBERS), "FP64", request_compression_algorithm=encoding).as_numpy("probability"))
    for encoding in ("gzip", "deflate")
}
said["packed"]["grpc"] = floats(ask(triton_grpc, grpc, np.array(NUMBERS), "FP64", compression_algorithm="gzip").as_numpy("probability"))
# There are predictions enough by now to compare with.
said["reasons"] = {}
for how, triton, client in (("http", triton_http, http), ("grpc", triton_grpc, grpc)):
    answer = ask(triton, client, np.array(NUMBERS), "FP64", parameters={"explain": 1})
    said["reasons"][how] = [json.loads(text) for text in answer.as_numpy("explanation")]

rows = [{"color": colour, "x": x} for colour, x in zip(COLOURS, NUMBERS)]
split = {"columns": ["x", "color"], "data": [[row["x"], row["color"]] for row in rows]}
deployments = get_deploy_client(url)
said["invocations"] = {
    form: deployments.predict(endpoint="shade", inputs={form: given})["predictions"]
    for form, given in {
        "dataframe_records": rows,
        "dataframe_split": split,
        "instances": rows,
        "inputs": {"color": list(COLOURS), "x": [[x] for x in NUMBERS]},
    }.items()
}
print(json.dumps(said))
