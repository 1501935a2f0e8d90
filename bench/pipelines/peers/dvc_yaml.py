"""Writes the stages of DVC: python dvc_yaml.py <shape> <count> <python> > dvc.yaml. Each stage is a command that reads and writes files."""

import json
import sys

shape, count, python = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def run(code):
    return f"{python} -c {json.dumps(code)}"


stages = {}
if shape == "sequence":
    for i in range(count):
        stages[f"s{i}"] = {
            "cmd": run(f"v = 0 if {i} == 0 else int(open('v{i - 1}').read()) + 1; open('v{i}', 'w').write(str(v))"),
            "outs": [f"v{i}"],
            **({"deps": [f"v{i - 1}"]} if i > 0 else {}),
        }
elif shape == "fan":
    for i in range(count):
        stages[f"work{i}"] = {"cmd": run(f"open('v{i}', 'w').write(str({i} * 2))"), "outs": [f"v{i}"]}
    stages["join"] = {"cmd": run(f"open('total', 'w').write(str(sum(int(open('v%d' % i).read()) for i in range({count}))))"), "deps": [f"v{i}" for i in range(count)], "outs": ["total"]}
else:
    make = f"import numpy as np, pandas as pd; pd.DataFrame({{'a': np.random.default_rng(1).random({count})}}).to_parquet('table.parquet')"
    stages["make"] = {"cmd": run(make), "outs": ["table.parquet"]}
    stages["total"] = {"cmd": run("import pandas as pd; open('total', 'w').write(str(pd.read_parquet('table.parquet')['a'].sum()))"), "deps": ["table.parquet"], "outs": ["total"]}
print(json.dumps({"stages": stages}))
