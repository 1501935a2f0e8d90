import millrace
import numpy as np
import pandas as pd

rows = millrace.params()["rows"]
pd.DataFrame({"a": np.random.default_rng(1).random(rows)}).to_parquet(millrace.output("table"))
