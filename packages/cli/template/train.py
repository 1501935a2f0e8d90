"""Trains the model: writes model.onnx, and a sample of rows with what the trained model says of them."""

import millrace
import pyarrow as pa
import pyarrow.parquet as pq
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

TEXTS = ["city"]
NUMBERS = ["km", "items", "hour", "weekday"]
LABEL = "late"

table = pq.ParquetDataset(millrace.inputs()["train"].paths).read()
rows = table.select(TEXTS + NUMBERS).to_pandas()
rows[NUMBERS] = rows[NUMBERS].astype("float32")

model = Pipeline([
    ("columns", ColumnTransformer([("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS), ("numbers", "passthrough", NUMBERS)])),
    ("trees", GradientBoostingClassifier(n_estimators=millrace.params()["trees"], random_state=1)),
])
model.fit(rows, table[LABEL].to_numpy())
for step, loss in enumerate(model["trees"].train_score_):
    millrace.metrics({"train_loss": loss}, step=step)

inputs = [(name, StringTensorType([None, 1])) for name in TEXTS] + [(name, FloatTensorType([None, 1])) for name in NUMBERS]
exported = to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}})
folder = millrace.output("model")
folder.mkdir()
(folder / "model.onnx").write_bytes(exported.SerializeToString())

sample = table.select(TEXTS + NUMBERS).slice(0, 500)
predicted = model.predict_proba(rows.head(500))[:, 1]
pq.write_table(sample.append_column("prediction", pa.array(predicted)), folder / "parity.parquet")
print(f"trained on {table.num_rows} rows")
