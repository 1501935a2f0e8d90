"""ONNX Runtime as a service of BentoML. The model's folder is in MODEL."""

import os

import bentoml
import numpy
import onnxruntime


@bentoml.service(workers=1)
class Trees:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.path.join(os.environ["MODEL"], "model.onnx"), options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, rows: numpy.ndarray) -> numpy.ndarray:
        (found,) = self.session.run(["probabilities"], {"features": rows.astype(numpy.float32)})
        return found[:, 1]
