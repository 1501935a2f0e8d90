import millrace
import pandas as pd

table = pd.concat(pd.read_parquet(path) for path in millrace.inputs()["table"].paths)
millrace.output("total").write_text(str(float(table["a"].sum())))
