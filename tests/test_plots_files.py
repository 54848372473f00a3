"""Diagrams of nets, bars of measurements, and pictures of every kind as files."""

from __future__ import annotations

import json
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import main
from chainrule.plots import (
    BenchDisplay,
    ConfusionDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    PredictionErrorDisplay,
)
from chainrule.plots.canvas import new_figure, printable, render, save_figure

pytest.importorskip("matplotlib")


@pytest.fixture
def ax():
    return new_figure(6, 4).subplots()


def test_lines_are_as_thick_as_weights_are_large_and_tell_their_signs(ax):
    net = Net([2, 3, 1], hidden="tanh", seed=0)
    net.weights[0][...] = [[1, -2, 0.5], [4, -1, 0.25]]
    display = NetworkDisplay.from_net(net, ax=ax, feature_names=["area", "$x$"], output_names=["rent"])
    first = display.lines_[0]
    widths = np.vectorize(lambda line: line.get_linewidth())(first)
    np.testing.assert_allclose(widths, np.abs(net.weights[0]) / 4 * widths.max(), atol=0.3)
    assert np.array_equal(np.vectorize(lambda line: line.get_linestyle() == "-")(first), net.weights[0] > 0)
    assert len({line.get_color() for line in first.ravel()}) == 2
    assert [len(layer) for layer in display.circles_] == [2, 3, 1]
    drawn = [text.get_text() for text in ax.texts]
    assert {"area", "$x$", "rent", "layer 1\ntanh", "-2", "0.25"} <= set(drawn)
    places = np.array([line.get_xydata() for line in first[:, 0]])
    assert np.ptp(places[:, 1], axis=0).tolist() == [0, 0]  # both end in the first hidden unit


def test_network_of_an_estimator(ax):
    estimator = SimpleNamespace(coefs_=[np.ones((2, 2))], intercepts_=[np.zeros(2)], classes_=["cat", "dog"])
    NetworkDisplay.from_estimator(estimator, ax=ax)
    assert {"x1", "x2", "cat", "dog"} <= {text.get_text() for text in ax.texts}
    with pytest.raises(ValueError, match="no coefs_"):
        NetworkDisplay.from_estimator(SimpleNamespace())


def test_a_net_without_biases_or_weights_other_than_zero(ax):
    net = Net([2, 2], bias=False, init="zeros")
    display = NetworkDisplay.from_net(net, ax=ax)
    assert "biases" not in ax.texts[-1].get_text()
    assert len({circle.get_facecolor() for layer in display.circles_ for circle in layer}) == 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([25, 1], "at most 24 units a layer; this net has 25"), ([20, 16, 1], "at most 300 weights; this net has 336")],
)
def test_nets_that_are_too_large_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        NetworkDisplay.from_net(Net(sizes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "weights must be one"),
        (([np.ones((2, 3)), np.ones((2, 1))],), "each as wide as the next"),
        (([np.ones((2, 3))], [np.ones(2)]), r"biases must have the shapes \[\(3,\)\]; got \[\(2,\)\]"),
        (([np.full((2, 3), np.nan)],), "must be finite"),
    ],
)
def test_arrays_that_are_no_net(arguments, message):
    with pytest.raises(ValueError, match=message):
        NetworkDisplay(*arguments)


def test_names_that_are_too_few():
    with pytest.raises(ValueError, match="feature_names must be 2; got 1"):
        NetworkDisplay([np.ones((2, 1))], feature_names=["a"])


DOCUMENT = {
    "build": {"version": "1.2", "isa": "x86-64-v3"},
    "dtype": "float64",
    "threads": 2,
    "unit": "microseconds per minibatch step",
    "cases": [{"case": "small", "ratio": {"numpy": 20.0, "jax": 0.5}}, {"case": "$large$", "ratio": {"numpy": 2.0}}],
}


def test_bars_reach_from_one_to_the_ratio(tmp_path, ax):
    (tmp_path / "speed.json").write_text(json.dumps(DOCUMENT))
    display = BenchDisplay.from_file(tmp_path / "speed.json", ax=ax)
    ends = {peer: [bar.get_x() + bar.get_width() for bar in bars] for peer, bars in display.bars_.items()}
    assert ends == {"numpy": [20, 2], "jax": [0.5]}
    assert {bar.get_x() for bars in display.bars_.values() for bar in bars} == {1}
    assert [text.get_text() for text in ax.texts] == ["20.0x", "2.00x", "0.50x", "no equivalent"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["small", "$large$"]
    assert ax.get_title(loc="left") == "chainrule 1.2, x86-64-v3, float64, 2 threads"
    assert "minibatch step" in ax.get_xlabel()
    assert ax.get_xlim()[0] < 0.5 < 20 < ax.get_xlim()[1]
    render(ax.figure, "png")


@pytest.mark.parametrize("name", ["speed.txt", "-", "speed"])
def test_a_chart_that_could_not_be_written_is_refused_before_anything_is_measured(capsys, name):
    assert main(["bench", "--plot", name]) == 2
    printed = capsys.readouterr()
    assert f"--plot must end in .png, .pdf, .svg; got {name}" in printed.err
    assert printed.out == ""


def test_one_case_and_no_peers():
    document = DOCUMENT | {"cases": [{"case": "small", "ratio": {}}]}
    display = BenchDisplay(document)
    assert render(display.plot(display.new_axes()).figure_, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("document", [{}, [], {**DOCUMENT, "cases": []}, {**DOCUMENT, "cases": [{"case": "x"}]}])
def test_other_documents_are_refused(document):
    with pytest.raises(ValueError, match="document must"):
        BenchDisplay(document)


#: One picture of each kind, with names that LaTeX, XML or fonts could stumble on.
DISPLAYS = [
    LossCurveDisplay([1.0, 0.01]),
    PredictionErrorDisplay([1.0, 2.0], [1.0, 3.0]),
    ConfusionDisplay([[1, 0], [0, 1]], labels=["$\\frac <&>", "\x00\n中文 " + "long " * 20]),
    NetworkDisplay([np.ones((1, 1))], feature_names=["$_\x07"]),
    BenchDisplay(DOCUMENT),
]


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: type(display).__name__)
def test_pictures_are_files_of_each_kind_and_the_same_each_time(display, tmp_path):

    def draw():
        return display.plot(new_figure(4, 3).subplots()).figure_

    for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")):
        path = tmp_path / f"picture{suffix}"
        save_figure(draw(), path)
        assert path.read_bytes().startswith(start)
        assert path.read_bytes() == render(draw(), suffix[1:].lower())
    ElementTree.fromstring(render(draw(), "svg"))


def test_names_are_cut_to_one_line():
    assert printable("a\tb\x00") == "a b"
    assert printable("x" * 30) == "x" * 23 + "…"
