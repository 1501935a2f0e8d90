"""ONNX Runtime as a runtime of MLServer, which has none of its own for ONNX. The model's folder is in MODEL."""

import os

import numpy
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Trees(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.path.join(os.environ["MODEL"], "model.onnx"), options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(numpy.float32)
        (found,) = self._session.run(["probabilities"], {"features": rows})
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[NumpyCodec.encode_output("probabilities", found)])
