"""`chainrule bench` compares results before it quotes times, and says what it measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.bench import cases, measure, report, runners
from chainrule.cli import main

SEED_CASE = cases.CASES[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", cases.CASES[:5], ids=lambda case: case.name)
def test_every_case_computes_the_weights_of_the_reference(case, dtype):
    differences = measure._check(case, dtype, ["chainrule", "numpy"])
    assert differences["numpy"] <= measure.TOLERANCE[dtype]


def test_a_runner_with_other_weights_is_refused(monkeypatch):
    class Wrong(runners.NetRunner):
        def parameters(self):
            return super().parameters() * 1.01

    monkeypatch.setitem(runners.RUNNERS, "numpy", lambda case, X, Y: Wrong(runners.Net, case, X, Y))
    with pytest.raises(ArithmeticError, match="numpy and chainrule differ by"):
        measure.measure(SEED_CASE, "float32", ["chainrule", "numpy"], seconds=0.01)


@pytest.mark.parametrize("peer", ["torch", "jax"])
@pytest.mark.parametrize("case", cases.CASES[:5], ids=lambda case: case.name)
def test_peers_compute_the_same_weights(case, peer):
    pytest.importorskip(peer)
    assert measure._check(case, "float32", ["chainrule", peer])[peer] <= measure.TOLERANCE["float32"]


def test_flops_count_the_products_of_one_step():
    # forward and weight gradient of both layers, input gradient of the second: 2 flops each, times the rows
    assert SEED_CASE.flops_per_step == 2 * 32 * (2 * (3 * 4 + 4 * 1) + 4 * 1)


def test_the_command_writes_table_json_and_chart(tmp_path, capfd):
    target, chart = tmp_path / "speed.json", tmp_path / "speed.png"
    options = ["--only", "seed 3-4-1, batch 32", "--seconds", "0.02", "--json", str(target), "--plot", str(chart)]
    assert main(["bench", *options]) == 0
    assert "seed 3-4-1, batch 32" in capfd.readouterr().out
    (case,) = json.loads(target.read_text())["cases"]
    assert case["sizes"] == [3, 4, 1]
    assert case["best"]["chainrule"] <= case["median"]["chainrule"]
    assert case["ratio"]["numpy"] == pytest.approx(case["best"]["numpy"] / case["best"]["chainrule"])
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert main(["bench", *options]) == 1
    assert "--force" in capfd.readouterr().err


def test_json_goes_to_stdout_alone(capfd):
    assert main(["bench", "--only", "seed 3-4-1, batch 32", "--seconds", "0.02", "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["dtype"] == "float32"
    assert "microseconds per step" in captured.err


def test_an_unknown_case_is_named_with_the_known_ones(capfd):
    assert main(["bench", "--only", "transformer"]) == 1
    assert "16-64-64-1" in capfd.readouterr().err


def test_a_row_quotes_best_times_and_ratios():
    measurement = measure.Measurement(SEED_CASE, {}, {"chainrule": 0.5, "numpy": 10.0}, {})
    line = report.row(measurement, ["numpy"])
    assert "0.5" in line
    assert "20x" in line
    assert np.isclose(measurement.gflops(), SEED_CASE.flops_per_step / 500)
