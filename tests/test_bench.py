"""`chainrule bench` compares results before it quotes times, and says what it measured."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from chainrule import SGD, Adam, Net, _core, build_info
from chainrule.bench import cases, clock, limits, measure, peers, plan, predictors, report, runners
from chainrule.cli import main
from helpers import CLASSIC_ACTIVATIONS, CLASSIC_OUTPUTS_AND_LOSSES, run_python

SEED_CASE = cases.CASES[1]
ISAS = build_info()["available_isas"]

#: Nets of every classic activation with every classic loss, of both optimizers, and of no, one and two hidden layers.
OWN_CASES = [
    cases.create_case((6, *middle, 4), hidden, output, loss, 5, optimizer)
    for (hidden, (output, loss)), middle, optimizer in zip(
        itertools.product(CLASSIC_ACTIVATIONS, CLASSIC_OUTPUTS_AND_LOSSES),
        itertools.cycle([(7,), (8, 3), ()]),
        itertools.cycle(["adam", "sgd"]),
        strict=False,
    )
]
OWN_CASES += [cases.create_case((3, 5, 1), "tanh", loss=loss) for loss in ("half_squared_error", "log_loss")]

#: A command that is soon done.
QUICK = ["bench", "--net", "3-4-1", "--seconds", "0.01"]


def require(peer):
    for module in peers.MODULES.get(peer, (peer,)):
        pytest.importorskip(module)


def check(case, dtype, *names):
    return measure._check_training(case, dtype, names, threads=1)


@pytest.mark.parametrize("peer", ["numpy", "jax", "torch", "sklearn"])
@pytest.mark.parametrize("case", [*cases.CASES[:5], *OWN_CASES], ids=lambda case: case.name)
def test_peers_learn_the_same_weights(case, peer):
    require(peer)
    difference = check(case, "float32", peer)
    if peer != "sklearn":
        assert difference[peer] <= measure.TRAINING_TOLERANCE["float32"]


@pytest.mark.parametrize("peer", ["numpy", "sklearn"])
@pytest.mark.parametrize("case", cases.CASES[2:5], ids=lambda case: case.name)
def test_in_float64_they_agree_closely(case, peer):
    require(peer)
    assert 0 < check(case, "float64", peer)[peer] <= measure.TRAINING_TOLERANCE["float64"]


@pytest.mark.filterwarnings("ignore")  # of PyTorch's own making
def test_compiled_torch_learns_the_same_weights():
    pytest.importorskip("torch")
    if fault := peers.CompiledTorchRunner.fault():
        pytest.skip(f"torch.compile needs a compiler that works, and here: {fault}")
    assert check(SEED_CASE, "float32", "torch-compile")["torch-compile"] <= measure.TRAINING_TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("case", "trains"),
    [
        (SEED_CASE, False),
        (cases.CASES[2], True),
        (cases.CASES[4], True),
        (cases.create_case((3, 5, 1), loss="log_loss"), True),
        (cases.create_case((3, 5, 2), loss="log_loss"), False),
        (cases.create_case((3, 5, 2), loss="cross_entropy"), False),
        (cases.create_case((3, 5, 3), loss="cross_entropy", optimizer="sgd"), True),
        (cases.create_case((3, 5, 1), loss="squared_error"), False),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_scikit_learn_takes_part_where_it_has_the_same_loss(case, trains):
    pytest.importorskip("sklearn")
    assert set(check(case, "float64", "sklearn")) == ({"sklearn"} if trains else set())


class Changed(runners.NetRunner):
    """A peer whose parameters are not those that it should have learned."""

    def __init__(self, case, X, Y, threads, change):
        super().__init__(Net, case, X, Y, threads)
        self.start, self.change = self.net.parameters.copy(), change

    def parameters(self):
        return self.change(self.start, super().parameters())


@pytest.mark.parametrize(
    "change",
    [lambda start, now: start, lambda start, now: 0.95 * now + 0.05 * start, lambda start, now: now * np.nan],
    ids=["stays", "lags", "fails"],
)
@pytest.mark.parametrize("optimizer", [SGD(lr=1e-4), Adam()])
def test_a_peer_with_other_weights_is_refused(monkeypatch, change, optimizer):
    monkeypatch.setitem(peers.RUNNERS, "numpy", lambda *arguments: Changed(*arguments, change))
    case = cases.Case("c", (3, 4, 1), "tanh", "identity", "squared_error", 8, optimizer)
    with pytest.raises(ArithmeticError, match=r"c: numpy's result differs .* at most 2e-02 is allowed in float32"):
        measure.measure_training(case, "float32", ["numpy"], threads=1, seconds=0.01)


def test_a_net_that_does_not_learn_agrees_with_one_that_does_not_either(monkeypatch):
    case = cases.create_case((3, 1), output="relu")
    dead = [-np.ones((3, 1))]
    monkeypatch.setattr(measure, "data", lambda *_: (np.ones((96, 3), "f4"), np.ones((96, 1), "f4")))
    monkeypatch.setattr(measure, "first_weights", lambda _: dead)

    class Dead(runners.NetRunner):
        def __init__(self, case, X, Y, threads):
            super().__init__(Net, case, X, Y, threads)
            self.net.weights[0][...] = dead[0]

    monkeypatch.setitem(peers.RUNNERS, "chainrule", Dead)
    monkeypatch.setitem(peers.RUNNERS, "numpy", Dead)
    assert check(case, "float32", "numpy") == {"numpy": 0.0}


@pytest.mark.parametrize("peer", ["numpy", "torch", "sklearn", "onnxruntime"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peers_predict_the_same(peer, dtype):
    require(peer)
    for case in (*cases.ONE_ROW_CASES, cases.create_case((5, 7, 6, 2), "tanh")):
        measurement = measure.measure_prediction(case, dtype, [peer], threads=1, seconds=0.001)
        assert measurement.differences[peer] <= measure.PREDICTION_TOLERANCE[dtype]
        assert 0 < measurement.best[peer] <= measurement.median[peer]


def test_a_peer_with_another_prediction_is_refused(monkeypatch):
    monkeypatch.setitem(peers.PREDICTORS, "numpy", lambda net, x, threads: (lambda x: net.predict(x) * 1.001, x))
    with pytest.raises(ArithmeticError, match="numpy's result differs from chainrule's by 1.0e-03"):
        measure.measure_prediction(cases.ONE_ROW_CASES[0], "float32", ["numpy"], threads=1, seconds=0.01)


def test_a_step_is_counted_in_flops_and_bytes():
    # forward and weight gradient of both layers, input gradient of the second: 2 flops each, times the rows
    assert SEED_CASE.flops_per_step == 2 * 32 * (2 * (3 * 4 + 4 * 1) + 4 * 1)
    parameters = 3 * 4 + 4 + 4 * 1 + 1
    assert SEED_CASE.bytes_held("float32") == 4 * 2 * parameters
    adam = cases.create_case((3, 4, 1), batch_size=10)
    assert adam.bytes_held("float64") == 8 * 4 * parameters
    assert adam.bytes_per_step("float64") == 8 * (2 * 4 * parameters + 10 * 3)


def test_a_case_is_named_after_what_is_not_usual():
    assert cases.create_case((20, 100, 1), batch_size=64).name == "20-100-1 relu, batch 64"
    name = cases.create_case((4, 3, 2), "tanh", "sigmoid", "squared_error", optimizer="sgd").name
    assert name == "4-3-2 tanh, batch 32, sigmoid, squared_error, sgd"
    assert cases.create_case((4, 3), loss="cross_entropy").output == "softmax"


@pytest.mark.parametrize("isa", ISAS)
def test_limits_are_of_work_that_is_done(isa):
    """Chain c starts at c, and halves its distance to 1 in every round; the triad leaves no element out."""
    script = """
import numpy as np
from chainrule import _core
for dtype, multiply_adds in (("float32", _core._multiply_adds32), ("float64", _core._multiply_adds64)):
    _, start = multiply_adds(0.5, 0)
    per_round, _ = multiply_adds(0.5, 1)
    for rounds in (1, 2, 9):
        count, total = multiply_adds(0.5, rounds)
        assert count == rounds * per_round
        np.testing.assert_allclose(total, per_round + (start - per_round) * 0.5**rounds, rtol=1e-6)
    assert start > per_round > 8
    for size in (1, 15, 16, 17, 100):
        y, (x, z) = np.zeros(size, dtype), np.random.default_rng(size).random((2, size)).astype(dtype)
        _core._triad(y, x, z, 0.25, 2)
        np.testing.assert_allclose(y, x + z / 4, rtol=1e-6)
"""
    run_python(script, CHAINRULE_ISA=isa)


def test_the_triad_refuses_what_it_would_read_beyond():
    long, short = np.zeros(9), np.zeros(8)
    for arrays in ((long, short, long), (long, long, short)):
        with pytest.raises(ValueError, match="sizes differ"):
            _core._triad(*arrays, 0.5, 1)
    with pytest.raises(TypeError):
        _core._triad(long, long[::-1], long, 0.5, 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_limits_count_all_threads(monkeypatch, threads):
    rates = []
    monkeypatch.setattr(limits, "_best_rate", lambda run: rates.append(run(10)) or 1.0)
    limits.peak("float64", threads)
    limits.bandwidth(3_000_000, "float64", threads)
    assert rates[0] == threads * _core._multiply_adds64(0.5, 10)[0]
    assert rates[1] == pytest.approx(10 * 3_000_000, rel=1e-3)


def test_time_at_the_limits():
    found = limits.Limits(gflops=200.0, bandwidth=50.0)
    assert found.microseconds(flops=400_000, size=100_000) == pytest.approx(2 + 2)


def test_arrays_of_the_triad_start_on_cache_lines():
    several = [limits._aligned(size, "float32") for size in range(1000, 5000, 100)]  # wherever they come to lie
    assert all(row.ctypes.data % 64 == 0 for rows in several for row in rows)


def test_repetitions_are_found_although_the_first_run_is_held_up(monkeypatch):
    calls = []

    def time_of(run, count):
        calls.append(count)
        return 5.0 if len(calls) == 1 else 1e-4 * count

    monkeypatch.setattr(clock, "time_of", time_of)
    assert clock.repetitions(print, seconds=1.0) == 10_000
    monkeypatch.setattr(clock, "time_of", lambda run, count: 3.0)
    assert clock.repetitions(print, seconds=1.0) == 1


def test_threads_are_set_for_everyone(monkeypatch):
    started = {}
    monkeypatch.setattr(plan.subprocess, "run", lambda command, **given: started.update(given) or FINISHED)
    assert main([*QUICK, "--threads", "1"]) == 7
    assert "xla_cpu_multi_thread_eigen=false" in started["env"]["XLA_FLAGS"]
    monkeypatch.setattr("chainrule.cli.bench.cores", lambda: [0, 1, 2])
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert main([*QUICK, "--threads", "3"]) == 7
    environment = started["env"]
    assert {environment[f"{library}_NUM_THREADS"] for library in ("OMP", "OPENBLAS", "MKL")} == {"3"}
    assert "XLA_FLAGS" not in environment


class FINISHED:
    returncode = 7


def test_the_net_is_given_the_threads():
    X, Y = cases.data(SEED_CASE, "float32", 1)
    assert peers.RUNNERS["chainrule"](SEED_CASE, X, Y, 3).net.threads == 3
    predict, _ = peers.PREDICTORS["chainrule"](*predictors.problem(SEED_CASE, "float32", 3), 3)
    assert predict.__self__.threads == 3


def test_the_command_writes_table_json_and_chart(tmp_path, capfd):
    target, chart = tmp_path / "speed.json", tmp_path / "speed.png"
    options = ["--only", "seed 3-4-1, batch 32", "--seconds", "0.02", "--json", str(target), "--plot", str(chart)]
    assert main(["bench", *options]) == 0
    printed = capfd.readouterr().out
    assert f"{ISAS[0]}, float32, 1 thread on core " in printed
    assert "GFLOP/s of multiply-adds" in printed
    assert "seed 3-4-1, batch 32" in printed
    document = json.loads(target.read_text())
    assert document["limits"].keys() == {"gflops", "cache_gb_per_second", "memory_gb_per_second"}
    (case,) = document["cases"]
    assert case["sizes"] == [3, 4, 1]
    assert case["best"].keys() == {"chainrule", "numpy"}
    assert case["best"]["chainrule"] <= case["median"]["chainrule"]
    assert case["ratio"]["numpy"] == pytest.approx(case["best"]["numpy"] / case["best"]["chainrule"])
    assert case["median_ratio"]["numpy"] == pytest.approx(case["median"]["numpy"] / case["median"]["chainrule"])
    assert case["share_of_peak"] == pytest.approx(case["gflops"]["chainrule"] / case["peak_gflops"])
    by_hand = case["flops_per_step"] / case["peak_gflops"] + case["bytes_per_step"] / case["gb_per_second"]
    assert case["microseconds_at_the_limits"] == pytest.approx(by_hand / 1e3)
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert main(["bench", *options]) == 1
    assert "--force" in capfd.readouterr().err


def test_own_nets_dtype_and_instruction_set(capfd, monkeypatch):
    monkeypatch.setenv("CHAINRULE_ISA", ISAS[-1])
    options = ["--batch", "8", "--hidden", "tanh", "--loss", "log_loss", "--optimizer", "sgd", "--dtype", "float64"]
    assert main([*QUICK, "--net", "7-5-2", *options, "--json"]) == 0
    captured = capfd.readouterr()
    document = json.loads(captured.out)  # alone: the table goes to stderr
    assert "microseconds per step" in captured.err
    assert f"{ISAS[-1]}, float64" in captured.err
    assert document["build"]["isa"] == ISAS[-1]
    assert document["dtype"] == "float64"
    assert [case["sizes"] for case in document["cases"]] == [[3, 4, 1], [7, 5, 2]]
    for case in document["cases"]:
        assert (case["hidden"], case["output"], case["loss"]) == ("tanh", "sigmoid", "log_loss")
        assert (case["batch_size"], case["optimizer"]) == (8, "sgd")


@pytest.mark.skipif(len(plan.cores()) < 2, reason="needs two cores")
def test_two_threads(capfd):
    assert main([*QUICK, "--threads", "2", "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["threads"] == 2
    assert "2 threads on cores " in captured.err


def test_predictions(capfd):
    assert main(["bench", "--predict", "--peers", "numpy", "--seconds", "0.01", "--json"]) == 0
    captured = capfd.readouterr()
    document = json.loads(captured.out)
    assert document["unit"] == "microseconds per prediction of one row"
    assert [case["sizes"] for case in document["cases"]] == [[3, 4, 1], [16, 64, 64, 1], [784, 256, 128, 10]]
    assert all(case["best"].keys() == {"chainrule", "numpy"} for case in document["cases"])
    assert "microseconds per prediction" in captured.err


def test_predictions_of_own_nets(capfd, tmp_path):
    chart = tmp_path / "speed.png"
    options = ["--predict", "--net", "9-5", "--output", "tanh", "--plot", str(chart)]
    assert main([*QUICK, *options]) == 0
    assert "\n9-5, tanh " in capfd.readouterr().out
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_torch_compile_is_left_out_where_nothing_compiles(capfd, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    assert main([*QUICK, "--peers", "torch-compile,numpy"]) == 0
    captured = capfd.readouterr()
    assert "torch-compile is left out: " in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out.splitlines()[2].split()[-1] == "numpy"
    assert main([*QUICK, "--peers", "torch-compile"]) == 1
    assert "chainrule: error: none of the peers works here" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peers", "numpy,abacus"], "'abacus' is no peer for training; allowed here: numpy"),
        (["--peers", "onnxruntime"], "'onnxruntime' is no peer for training"),
        (["--predict", "--peers", "jax"], "'jax' is no peer for predictions"),
        (["--batch", "64"], "--batch describes a net of your own: give --net SIZES too"),
        (["--output", "relu"], "--output describes a net"),
        (["--net", "3-1", "--only", "seed"], "--only chooses among the named cases"),
        (["--net", "3"], "needs at least inputs and outputs"),
        (["--net", "3-0-1"], "must be at least 1, got 0"),
        (["--net", "3-1", "--batch", "0"], "must be at least 1, got 0"),
        (["--net", "3-1", "--hidden", "softmax"], "invalid choice: 'softmax'"),
        (["--net", "3-1", "--loss", "log_loss", "--output", "tanh"], "needs output='sigmoid'"),
        (["--net", "3-1", "--output", "softmax"], "needs at least 2 outputs"),
        (["--net", "3-1", "--loss", "huber(x)"], "--loss: loss must be a number, got 'x'"),
        (["--net", "3-1", "--optimizer", "rprop"], "invalid choice: 'rprop'"),
        (["--net", "3-1", "--predict", "--loss", "log_loss"], "--loss is for training"),
        (["--threads", "100000"], "--threads must be at most "),
        (["--threads", "0"], "--threads: must be at least 1, got 0"),
        (["--seconds", "0"], "--seconds: must be above 0"),
        (["--dtype", "float16"], "invalid choice: 'float16'"),
    ],
)
def test_wrong_options_are_named_with_what_is_allowed(capfd, words, message):
    assert main(["bench", *words]) == 2
    printed = capfd.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_a_peer_that_is_not_installed_is_named_with_those_that_are(capfd, monkeypatch):
    monkeypatch.setattr("chainrule.cli.bench.installed", lambda peer: peer in ("numpy", "torch"))
    assert main(["bench", "--peers", "torch,jax"]) == 2
    assert "--peers: 'jax' is not installed; allowed here: numpy, torch, or all" in capfd.readouterr().err


def test_peers_are_all_that_are_installed_and_numpy_alone_by_default(monkeypatch):
    monkeypatch.setattr("chainrule.cli.bench.installed", lambda peer: peer != "jax")
    plans = []
    monkeypatch.setattr("chainrule.cli.bench.run_apart", lambda plan: plans.append(plan) or 0)
    for words in ([], ["--peers"], ["--peers", "--predict"], ["--peers", "torch,numpy,torch"]):
        assert main(["bench", *words]) == 0
    assert [plan.peers for plan in plans] == [
        ("numpy",),
        ("numpy", "torch", "torch-compile", "sklearn"),
        ("numpy", "torch", "sklearn", "onnxruntime"),
        ("torch", "numpy"),
    ]
    assert plans[0].cases == cases.CASES
    assert plans[2].cases == cases.ONE_ROW_CASES


def test_a_time_limit_leaves_out_cases_and_says_so(capfd):
    words = [*QUICK, "--net", "3-5-1", "--net", "3-6-1", "--time-limit", "0.001", "--seed", "3", "--json"]
    assert main(words) == 0
    printed = capfd.readouterr()
    document = json.loads(printed.out)
    assert [(case["case"], case["seed"]) for case in document["cases"]] == [("3-4-1 relu, batch 32", 3)]
    assert document["left_out"] == ["3-5-1 relu, batch 32", "3-6-1 relu, batch 32"]
    assert "note: the time limit left out: 3-5-1 relu, batch 32; 3-6-1 relu, batch 32" in printed.err


def test_a_seed_draws_other_weights_and_data():
    case = cases.CASES[2]
    other = cases.replace(case, seed=1)
    for draw in (runners.first_weights, lambda case: cases.data(case, "float32", 1)):
        assert not np.array_equal(draw(case)[0], draw(other)[0])
    net, x = predictors.problem(other, "float32", 1)
    np.testing.assert_array_equal(net.weights[0], runners.first_weights(other)[0].astype(np.float32))
    assert not np.array_equal(x, predictors.problem(case, "float32", 1)[1])


def test_an_unknown_case_is_named_with_the_known_ones(capfd):
    assert main(["bench", "--only", "transformer"]) == 2
    assert "16-64-64-1" in capfd.readouterr().err


def test_a_row_quotes_best_and_median_and_a_dash_where_a_peer_has_no_equivalent():
    names = peers.peer_names(predict=False)
    table = report.Table(plan.Plan(cases.CASES, tuple(names), "float32", 1, 1.0, None, False, None, None), names)
    best = {"chainrule": 0.5, "numpy": 10.0, "jax": 0.46, "torch": 60.0, "torch-compile": 6000.0}
    median = {"chainrule": 0.8, "numpy": 10.0, "jax": 0.72, "torch": 60.0, "torch-compile": 6000.0}
    measurement = measure.Measurement(SEED_CASE, {}, best, median, limits.Limits(gflops=23.04, bandwidth=1.0))
    row = table.row(measurement)
    assert row.startswith("seed 3-4-1, batch 32 ")
    columns = ["0.5", "0.8", "4.61", "20%", "20.0/12.5x", "0.92/0.90x", "120/75.0x", "12000/7500x", "-"]
    assert row.split()[4:] == columns
    assert len(row) == len(table.header()) <= 120
