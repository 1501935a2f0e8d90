"""ONNX Runtime behind FastAPI, as many write it first. The model's folder is in MODEL."""

import os

import numpy
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.path.join(os.environ["MODEL"], "model.onnx"), options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Request(BaseModel):
    rows: list[list[float]]


class Answer(BaseModel):
    probabilities: list[float]


@app.get("/health")
async def health():
    return "OK"


# In the loop: a thread for each request made it slower.
@app.post("/predict")
async def predict(request: Request) -> Answer:
    (found,) = session.run(["probabilities"], {"features": numpy.asarray(request.rows, dtype=numpy.float32)})
    return Answer(probabilities=found[:, 1].tolist())
