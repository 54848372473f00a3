"""Write the seed corpus: small files of every kind that the readers know. ``python fuzz/make_corpus.py``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import Net
from chainrule.estimators import MLPClassifier, MLPRegressor
from chainrule.schedules import ReduceOnPlateau
from chainrule.tables import TableEncoder, infer_task, parse_table

CORPUS = Path(__file__).parent / "corpus"

X = np.sin(np.arange(20.0)).reshape(10, 2)
LABELS = np.arange(10) % 3

TABLES = {
    "plain.csv": b"a,b,y\n1,2,0\n3,4,1\n5,6,0\n",
    "text.csv": b"size;kind;price\r\n1.5;x;10\r\n2.5;y;20\r\n3.5;x;30\r\n",
    "tabs.csv": b"a\tb\n1\t2\n3\t4\n",
    "quoted.csv": b'"a, ""b""","y\nz"\n"1","x;y"\n"2"," z "\n',
    "mark.csv": b"\xef\xbb\xbfa,y\n-1e-3,caf\xc3\xa9\n+.5,\xe6\x97\xa5\n1e308,caf\xc3\xa9\n",
    "missing.csv": b"a,b\n1,NA\n,2\n?,nan\n",
    "blank.csv": b"\n  \na,b\n\n1,2\n\n3,4",
    "comma.csv": b'a;b\n1,5;2\n2,5;1\n"3,5";3\n',
    "faulty.csv": b"a,b\n1,2,3\n",
    "latin.csv": b"a,b\n\xe9,1\n",
}


def write_tables(folder: Path) -> None:
    """Write CSV, and what NumPy writes."""
    folder.mkdir(parents=True, exist_ok=True)
    records = np.array([(1.5, "x"), (2.5, "y"), (3.5, "x")], dtype=[("size", "f4"), ("kind", "U3")])
    arrays = {
        "matrix.npy": np.arange(6.0).reshape(3, 2),
        "records.npy": records,
        "bytes.npy": np.array([b"a", b"b"]),
        "texts.npy": np.array([["a", "b c"], ["d\0e", "f"]]),
    }
    for name, content in TABLES.items():
        (folder / name).write_bytes(content)
    for name, array in arrays.items():
        np.save(folder / name, array)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, X=X[:3], y=LABELS[:3])
    (folder / "arrays.npz").write_bytes(buffer.getvalue())


def write_models(folder: Path) -> None:
    """Write a net of every rule and several shapes, and estimators of every kind of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for rule in ("sgd", "adam", "nadam", "rmsprop", "adagrad", "rprop"):
        net = Net([2, 3, 1], hidden="gelu", output="identity", seed=1, dropout=0.1 if rule == "sgd" else 0.0)
        net.fit(X, X[:, :1], epochs=1, optimizer=rule, batch_size=None if rule == "rprop" else 4)
        net.save(folder / rule)
    net = Net([2, 2, 3], output="softmax", loss="cross_entropy(0.1)", dtype="float64", seed=2, bias=False)
    net.fit(X, LABELS, epochs=2, schedule=ReduceOnPlateau(patience=1))
    net.freeze(0)
    net.save(folder / "classes", metadata={"table": _describe_table()})
    _left(folder / "left")
    kinds: dict[str, Any] = {"three": LABELS, "text": np.array(["no", "yes"])[LABELS % 2], "several": np.eye(3)[LABELS]}
    for name, labels in kinds.items():
        random = np.random.RandomState(0) if name == "text" else 0
        MLPClassifier([3], max_iter=2, random_state=random).fit(X, labels).save(folder / name)
    regressor = MLPRegressor(hidden_layer_sizes=[2], solver="sgd", learning_rate="adaptive", max_iter=2, random_state=0)
    regressor.partial_fit(X, X[:, 0]).save(folder / "regressor")


def _describe_table() -> str:
    table = parse_table(TABLES["text.csv"], "text.csv")
    return json.dumps(TableEncoder.fit(table, "price", infer_task(table, "price")).to_dict())


def _left(path: Path) -> None:
    """Write a net in the middle of an epoch."""
    net = Net([2, 2], hidden=[], seed=3)
    net._core.resume_epoch(2, 0.5, 2.0, 4, 2, True)
    net.save(path)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    write_tables(CORPUS / "csv")
    write_models(CORPUS / "model")
