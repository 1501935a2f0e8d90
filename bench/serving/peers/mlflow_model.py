"""The model in MLflow's form: python mlflow_model.py <model.onnx> <folder>"""

import sys

import mlflow
import numpy
import onnx

model = onnx.load(sys.argv[1])
width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
rows = numpy.zeros((2, width), dtype=numpy.float32)
mlflow.onnx.save_model(
    model,
    sys.argv[2],
    signature=mlflow.models.infer_signature(rows, {"label": numpy.zeros(2, dtype=numpy.int64), "probabilities": numpy.zeros((2, 2), dtype=numpy.float32)}),
    onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
)
