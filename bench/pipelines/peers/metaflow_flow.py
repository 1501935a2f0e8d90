"""Writes a flow of Metaflow: its graph is read from the source, so each shape is a file of its own.

    python metaflow_flow.py sequence 10 > flow.py
"""

import sys

HEAD = """from metaflow import FlowSpec, step

class Bench(FlowSpec):
"""
TAIL = """
if __name__ == "__main__":
    Bench()
"""


def sequence(count):
    names = ["start"] + [f"s{i}" for i in range(1, count - 1)] + ["end"]
    for name, after in zip(names, names[1:] + [None]):
        yield f"    @step\n    def {name}(self):\n        self.value = {'0' if name == 'start' else 'self.value + 1'}\n"
        yield f"        self.next(self.{after})\n" if after else ""


def fan(count):
    yield f"""    @step
    def start(self):
        self.items = list(range({count}))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.value = self.input * 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(one.value for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def table(rows):
    yield f"""    @step
    def start(self):
        import numpy as np, pandas as pd
        self.table = pd.DataFrame({{"a": np.random.default_rng(1).random({rows})}})
        self.next(self.end)

    @step
    def end(self):
        self.total = float(self.table["a"].sum())
"""


print(HEAD + "".join({"sequence": sequence, "fan": fan, "table": table}[sys.argv[1]](int(sys.argv[2]))) + TAIL)
