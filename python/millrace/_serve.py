"""Answers for one MLflow model: python .../millrace/_serve.py, with a Unix socket to the server as the file descriptor 3.

It runs in the model's own environment, so it needs nothing but what MLflow itself needs, and Python 3.8. Frames are those of the server's
`inference/workers/frames.ts`: the bytes of a head as 32 bits, those of a body as 64, the head as JSON, the body.
"""

import json
import os
import select
import socket
import struct
import sys
import threading

_PREFIX = struct.Struct("<IQ")
_DTYPES = {
    "BOOL": "b1",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_DATATYPES = {dtype.strip("<"): name for name, dtype in _DTYPES.items()}
_MOST_TEXT = 2_000


def main():
    # The folder of this file holds nothing that a model means when it imports.
    sys.path.pop(0)
    channel = socket.socket(fileno=3)
    channel.set_inheritable(False)
    channel.setblocking(True)
    _end_with(channel)
    reader = channel.makefile("rb", buffering=1 << 16)
    head, _ = _receive(reader)
    try:
        model = _load(head)
    except BaseException as error:
        _send(channel, {"unready": _reason(error)}, [])
        raise
    _send(channel, {"ready": True, "bytes": _memory("VmRSS")}, [])
    _limit_memory(head["memoryBytes"])
    while True:
        received = _receive(reader)
        if received is None:
            return
        head, body = received
        call = head["call"]
        try:
            heads, pieces = _outputs(model(head["inputs"], body))
            answer = {"call": call, "outputs": heads}
        except MemoryError:
            answer, pieces = {"call": call, "failed": "its memory is full (MemoryError)"}, []
        except Exception as error:
            answer, pieces = {"call": call, "failed": _reason(error)}, []
        # What has been asked is let go before the next is waited for.
        received = head = body = None
        _send(channel, answer, pieces)
        answer = pieces = heads = None


def _end_with(channel):
    """Ends this process when the server is gone, whatever the model is doing: then nobody wants its answer."""

    def watch():
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0))
        poll.poll()
        os._exit(0)

    if hasattr(select, "poll"):
        threading.Thread(target=watch, daemon=True).start()


def _receive(reader):
    prefix = reader.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None
    head_bytes, body_bytes = _PREFIX.unpack(prefix)
    head = json.loads(reader.read(head_bytes))
    # Not bytes: the model may write into its arrays.
    body = bytearray(body_bytes)
    if reader.readinto(body) < body_bytes:
        return None
    return head, body


def _send(channel, head, pieces):
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    size = sum(len(piece) for piece in pieces)
    if size < 1 << 16:
        channel.sendall(b"".join([_PREFIX.pack(len(text), size), text, *pieces]))
        return
    channel.sendall(_PREFIX.pack(len(text), size) + text)
    for piece in pieces:
        channel.sendall(piece)


def _reason(error):
    text = str(error).strip()
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:_MOST_TEXT]


def _memory(key):
    """Bytes of this process, by its name in proc(5); 0 where there is no /proc."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key + ":"))
    except (OSError, StopIteration):
        return 0


def _limit_memory(most):
    """So much more than once the model is loaded may be taken: what wants more gets a MemoryError, which its request fails by, and nothing else."""
    taken = _memory("VmSize")
    if most is None or taken == 0:
        return
    import resource

    left = max(most - _memory("VmRSS"), 64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (taken + left, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _load(config):
    """The model, as a function of the heads of tensors and their body."""
    try:
        import resource

        # Python ignores the signal that comes with it: what writes more gets an OSError.
        resource.setrlimit(resource.RLIMIT_FSIZE, (config["fileBytes"], config["fileBytes"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except ImportError:
        pass
    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(config["folder"])
    fields, form = config["fields"], config["form"]
    if fields is None:
        return lambda heads, body: loaded.predict(_unsigned([(head["name"], _array(head, body, None)) for head in heads]))
    kinds = {field["name"]: field["kind"] for field in fields}
    columns = {field["name"]: field["column"] for field in fields}
    order = {field["name"]: at for at, field in enumerate(fields)}

    def ask(heads, body):
        given = [(head["name"], _array(head, body, kinds[head["name"]])) for head in sorted(heads, key=lambda head: order[head["name"]])]
        if form == "array":
            return loaded.predict(given[0][1])
        if form == "arrays":
            return loaded.predict({columns[name]: array for name, array in given})
        return loaded.predict(_frame([(order[name] if columns[name] is None else columns[name], array) for name, array in given]))

    return ask


def _unsigned(given):
    """What a model without a signature is given: one array of several dimensions as it is, columns as a DataFrame, others by their names."""
    if len(given) == 1 and given[0][1].ndim > 1:
        return given[0][1]
    if all(array.ndim == 1 or array.shape[1:] == (1,) for _, array in given):
        return _frame([(name, array.reshape(-1)) for name, array in given])
    return dict(given)


def _frame(columns):
    import pandas

    return pandas.DataFrame(dict(columns), copy=False)


def _array(head, body, kind):
    """A tensor as an array, of what the model takes: `kind` is one of the server's `Field`s."""
    import numpy

    datatype, shape = head["datatype"], head["shape"]
    if datatype != "BYTES":
        dtype = numpy.dtype(_DTYPES[datatype])
        return numpy.frombuffer(body, dtype, count=head["bytes"] // dtype.itemsize, offset=head["at"]).reshape(shape)
    values = head["data"] if "data" in head else _pieces(head, body)
    if kind == "json":
        values = [None if value is None else json.loads(value) for value in values]
    elif kind == "datetime":
        return _times(values).reshape(shape)
    elif kind == "binary" or (kind is not None and kind.startswith("bytes")):
        values = [value.encode() if isinstance(value, str) else value for value in values]
    return _objects(values).reshape(shape)


def _times(values):
    import numpy
    import pandas

    # Each for itself: they may be written differently, which pandas of old does not read together.
    read = [None if value is None else pandas.to_datetime(value, utc=True).tz_localize(None).to_datetime64() for value in values]
    return numpy.array(read, dtype="datetime64[ns]")


def _objects(values):
    """An array of just these, also where they are lists."""
    import numpy

    array = numpy.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        array[at] = value
    return array


def _pieces(head, body):
    at, pieces = head["at"], []
    for length in head["lengths"]:
        if length < 0:
            pieces.append(None)
            continue
        pieces.append(bytes(body[at : at + length]))
        at += length
    return pieces


def _outputs(said):
    """The heads of tensors, and their body, of whatever a model gives."""
    heads, pieces, at = [], [], 0
    for name, array in _named(said):
        head = {"name": name, "shape": list(array.shape)}
        if array.dtype == object:
            head["datatype"] = "BYTES"
            values = array.reshape(-1).tolist()
            if any(isinstance(value, bytes) for value in values):
                raw = [value if value is None or isinstance(value, bytes) else value.encode("utf-8", "surrogatepass") for value in values]
                head["lengths"] = [-1 if value is None else len(value) for value in raw]
                data = b"".join(value for value in raw if value is not None)
            else:
                head["data"] = values
                heads.append(head)
                continue
        else:
            head["datatype"] = _DATATYPES[array.dtype.str.lstrip("<|=")]
            data = array.tobytes()
        head["at"], head["bytes"] = at, len(data)
        padded = -len(data) % 8
        pieces += [data, b"\0" * padded]
        at += len(data) + padded
        heads.append(head)
    return heads, pieces


def _named(said):
    """Arrays by their names: columns of a DataFrame, values of a dictionary, what is one thing as `output`."""
    if hasattr(said, "model_dump"):
        said = said.model_dump()
    if said is None:
        raise ValueError("the model gave nothing (None)")
    if type(said).__name__ == "DataFrame" and hasattr(said, "columns"):
        return [(str(name), _plain(said.iloc[:, at])) for at, name in enumerate(said.columns)]
    if isinstance(said, dict):
        if not said:
            raise ValueError("the model gave an empty dictionary")
        return [(str(name), _plain(value)) for name, value in said.items()]
    if isinstance(said, tuple) and all(hasattr(one, "__array__") for one in said):
        return [(f"output_{at}", _plain(one)) for at, one in enumerate(said)]
    if hasattr(said, "__next__"):
        said = list(said)
    if isinstance(said, (list, tuple)):
        said = [one.model_dump() if hasattr(one, "model_dump") else one for one in said]
        keys = list(said[0]) if said and isinstance(said[0], dict) else []
        if keys and all(isinstance(one, dict) and list(one) == keys for one in said):
            return [(str(key), _plain([one[key] for one in said])) for key in keys]
    return [("output", _plain(said))]


def _plain(value):
    """An array of a type that a tensor has: of numbers, or of texts, bytes and None as objects. One value becomes an array of one."""
    import numpy

    if isinstance(value, (str, bytes)) or value is None or isinstance(value, dict):
        value = [value]
    if hasattr(value, "toarray"):
        value = value.toarray()
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, (list, tuple)):
        array = _of_list(value)
    elif hasattr(value, "dtype") and hasattr(value, "to_numpy"):
        array = _of_series(value)
    else:
        array = numpy.asarray(value)
    if array.ndim == 0:
        array = array.reshape(1)
    if array.dtype.kind == "M":
        texts = numpy.datetime_as_string(array, unit="ms", timezone="UTC")
        array = numpy.where(numpy.isnat(array), None, texts.astype(object))
    elif array.dtype.kind in "Um":
        array = array.astype(str).astype(object)
    elif array.dtype.kind == "S":
        array = array.astype(object)
    elif array.dtype.kind == "O":
        array = _of_objects(array)
    elif array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"the model gave values of type {array.dtype}, which no tensor has")
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    return numpy.ascontiguousarray(array)


def _of_list(values):
    import numpy

    if not any(isinstance(value, (str, bytes, dict)) or value is None for value in values):
        try:
            return numpy.asarray([_plain_item(value) for value in values])
        except ValueError:
            # Lists of several lengths.
            pass
    return _objects(values)


def _plain_item(value):
    return value.to_numpy() if hasattr(value, "to_numpy") else value


def _of_series(series):
    """A column of pandas: of its own types those of truth and numbers become NumPy's, missing numbers NaN, what is no number an object."""
    kind = getattr(series.dtype, "kind", "O")
    if getattr(series.dtype, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    elif type(series.dtype).__module__.startswith("numpy"):
        pass
    elif kind in "biuf" and not series.isna().any():
        return series.to_numpy(dtype=getattr(series.dtype, "numpy_dtype", None))
    elif kind in "iuf":
        return series.to_numpy(dtype="float64", na_value=float("nan"))
    else:
        return series.astype(object).to_numpy()
    return series.to_numpy()


def _of_objects(array):
    """Numbers where all are, NaN where they are missing; else texts and bytes, and of what is neither its JSON."""
    import numpy

    values = array.reshape(-1).tolist()
    known = [value for value in values if not _is_missing(value)]
    if known and all(isinstance(value, bool) for value in known) and len(known) == len(values):
        return array.astype(bool)
    if known and all(_is_number(value) for value in known):
        if len(known) == len(values) and all(isinstance(value, int) for value in known):
            return array.astype("int64")
        return numpy.array([float("nan") if _is_missing(value) else float(value) for value in values]).reshape(array.shape)
    told = [None if _is_missing(value) else value if isinstance(value, (str, bytes)) else _as_text(value) for value in values]
    return _objects(told).reshape(array.shape)


def _is_missing(value):
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def _is_number(value):
    import numbers
    from decimal import Decimal

    return isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, bool)


def _as_text(value):
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    return json.dumps(value, ensure_ascii=False, default=_jsonable)


def _jsonable(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return str(value)


if __name__ == "__main__":
    main()
