"""What a user's type checker says: mypy, strict, of code that uses chainrule as it is installed."""

from __future__ import annotations

import pytest

api = pytest.importorskip("mypy.api")

RIGHT = '''
"""A user's script, as typed as mypy's strict mode asks for."""

import numpy as np
from numpy.typing import NDArray

import chainrule
from chainrule import SGD, Adam, DivergenceError, FitState, History, Huber, Net
from chainrule.schedules import Cosine


def worst(Y: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    return float(abs(Y - predictions).max())


def enough(state: FitState) -> bool:
    return state.loss < 0.1


def train(X: NDArray[np.float32], Y: list[list[float]]) -> tuple[Net, History]:
    net = Net([3, 8, 1], hidden=["tanh"], output="identity", loss=Huber(delta=0.5), dtype=np.float64, seed=0)
    history: History = net.fit(
        X,
        Y,
        epochs=5,
        optimizer=Adam(lr=0.01),
        schedule=Cosine(epochs=5),
        validation=0.2,
        metrics={"worst": worst},
        monitor=("worst", "min"),
        class_weight=None,
        callback=enough,
    )
    return net, history


def use(net: Net, X: NDArray[np.float32]) -> float:
    loss: float = net.step(X, [[0.0]], SGD(lr=0.1))
    prediction: NDArray[np.float32] | NDArray[np.float64] = net.predict(X)
    slope = net.input_gradient(X)
    net.weights[0][0, 0] = 1.0
    net.save("net.safetensors", metadata={"author": "a colleague"})
    version: str = chainrule.__version__
    try:
        net = Net.load("net.safetensors")
    except (DivergenceError, chainrule.ModelFormatError) as error:
        raise SystemExit(str(error)) from error
    return loss + float(prediction[0, 0]) + float(slope.sum()) + len(version)
'''

#: Each is an error of a user that types tell before the code runs, and the word by which mypy calls it.
WRONG = {
    'Net("3-4-1", hidden=3)': "arg-type",
    "Net([3, 4, 1], loss=0.5)": "arg-type",
    "Net([3, 4, 1], sede=0)": "call-arg",
    "net.fit(X, Y, 10)": "call-arg|misc",
    "net.fit(X, Y, optimizer=0.01)": "arg-type",
    'net.fit(X, Y, class_weight="equal")': "arg-type",
    'net.fit(X, Y, epochs="10")': "arg-type",
    "history.losses": "attr-defined",
    'answer: int = net.repr("x")': "attr-defined",
    "history.epochs = 0.5": "assignment",
    "Adam(learning_rate=0.1)": "call-arg",
    "text: str = net.step(X, Y, Adam())": "assignment",
    "Net.load(3)": "arg-type",
    'net.save("a", metadata={"rows": 3})': "dict-item",
}

BEGINNING = """
import numpy as np
from chainrule import Adam, History, Net

X, Y = np.zeros((4, 3)), np.zeros((4, 1))
net = Net([3, 4, 1])
history: History = net.fit(X, Y)
"""


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Run mypy, strict, away from the repository, whose settings are no user's."""
    folder = tmp_path_factory.mktemp("user")

    def run(code):
        script = folder / "script.py"
        script.write_text(code, encoding="utf-8")
        options = ["--strict", "--show-error-codes", "--no-error-summary", "--config-file="]
        return api.run([*options, f"--cache-dir={folder / 'cache'}", str(script)])

    return run


def test_a_users_script_is_typed(check):
    report, complaints, code = check(RIGHT)
    assert (report, complaints, code) == ("", "", 0)


def test_every_wrong_line_is_told(check):
    """All of them in one run, for a run takes seconds."""
    report, complaints, _ = check(BEGINNING + "\n".join(WRONG))
    assert complaints == ""
    first = BEGINNING.count("\n") + 1
    for number, (line, codes) in enumerate(WRONG.items(), first):
        found = [message for message in report.splitlines() if message.split(":")[1:2] == [str(number)]]
        assert any(f"[{code}]" in message for code in codes.split("|") for message in found), (line, found)
    assert {int(message.split(":")[1]) for message in report.splitlines() if ": error:" in message} == set(
        range(first, first + len(WRONG))
    )
