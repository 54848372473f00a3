"""``chainrule predict``: the model brings its encoding, and the predictions are those of the net."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import main
from chainrule.datasets import DATASETS
from chainrule.files import load_with_metadata
from chainrule.tables import TableEncoder, read_table

NUMBERS = "area,city,rent\n" + "".join(f"{a},{'Ulm' if a % 3 else 'Bonn'},{2 * a + (a % 3)}\n" for a in range(40))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rents(tmp_path):
    """A trained model of numbers, and its table."""
    (tmp_path / "rents.csv").write_text(NUMBERS)
    assert main(["train", "rents.csv", "--target", "rent", "--quiet", "--epochs", "20"]) == 0
    return "rents.safetensors"


@pytest.mark.parametrize(("mean", "scatter"), [(1.7e9, 100.0), (3e39, 1e39), (-1e-40, 1e-42), (0.0, 1.0)])
def test_numbers_have_the_digits_that_their_scatter_needs(tmp_path, capsys, mean, scatter):
    """In the net's own type, times of day were all of one minute, and numbers beyond its range infinite."""
    x = np.random.default_rng(0).normal(size=200)
    y = mean + scatter * x
    rows = zip(x.tolist(), y.tolist(), strict=True)
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows))
    assert main(["train", "t.csv", "--target", "y", "--quiet", "--epochs", "100", "--seed", "0"]) == 0
    capsys.readouterr()
    assert main(["predict", "t.safetensors", "t.csv"]) == 0
    printed = [float(row["predicted_y"]) for row in predictions(capsys.readouterr().out)]
    net, metadata = load_with_metadata("t.safetensors")
    encoder = TableEncoder.from_dict(json.loads(metadata["table"]))
    exact = encoder.target.decode(net.predict(encoder.encode_features(read_table("t.csv"))))[:, 0]
    np.testing.assert_allclose(printed, exact, rtol=0, atol=2e-7 * scatter * 4)
    assert np.std(np.array(printed) - y) < 0.2 * scatter
    assert max(len(f"{number:.17g}".rstrip("0")) for number in printed) <= 24


def test_outputs_that_are_not_finite_are_no_predictions(rents, penguins, tmp_path, capsys):
    """Of NaN, the first class of all looked like one."""
    rows = DATASETS["penguins"].path.read_text().splitlines()
    header, row = rows[0].split(","), rows[1].split(",")
    numbers = [i for i, cell in enumerate(row) if cell.replace(".", "").isdigit()]
    far = [f"{(-1) ** i * 3e38}" if i in numbers else cell for i, cell in enumerate(row)]
    (tmp_path / "far.csv").write_text("\n".join([",".join(header), ",".join(row), ",".join(far)]))
    assert main(["predict", penguins, "far.csv"]) == 1
    printed = capsys.readouterr()
    assert "far.csv, line 3" in printed.err
    assert "finite" in printed.err
    assert printed.out == ""


def test_a_label_with_a_carriage_return_stays_one_row(tmp_path, capsys):
    with open("c.csv", "w", newline="") as file:
        csv.writer(file).writerows([["x", "y"], *([i % 7, "a\rb" if i % 2 else "c"] for i in range(60))])
    assert main(["train", "c.csv", "--target", "y", "--quiet", "--epochs", "30"]) == 0
    assert main(["predict", "c.safetensors", "c.csv", "--output", "p.csv"]) == 0
    assert read_table("p.csv").rows == 60


def test_a_model_whose_table_is_not_its_nets_costs_nothing(tmp_path, capsys):
    """Twenty thousand labels took gigabytes before that was seen."""
    (tmp_path / "a.csv").write_text("a\nx\n")
    target = {"name": "t", "mean": 0.0, "std": 1.0}
    for labels, message in [(["x"] * 20_000, "each once"), (["x", "y"], "its table gives 2 inputs")]:
        encoder = {"features": [{"name": "a", "labels": labels, "numeric": False}], "target": target}
        Net([1, 1], seed=0).save("m.safetensors", {"table": json.dumps(encoder)})
        assert main(["predict", "m.safetensors", "a.csv"]) == 1
        assert message in capsys.readouterr().err


@pytest.fixture
def penguins():
    assert main(["train", "--quiet"]) == 0
    return "penguins.safetensors"


def predictions(printed: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(printed)))


def test_classes_with_probabilities(penguins, capsys):
    path = DATASETS["penguins"].path
    assert main(["predict", penguins, str(path), "--probabilities"]) == 0
    printed = capsys.readouterr()
    rows = predictions(printed.out)
    assert list(rows[0]) == [
        "predicted_species",
        "probability_Adelie",
        "probability_Chinstrap",
        "probability_Gentoo",
    ]
    table = read_table(path)
    X = TableEncoder.fit(table, "species", "classification").encode_features(table)
    assert len(rows) == len(X) == 333
    probabilities = np.array([[float(row[name]) for name in list(row)[1:]] for row in rows])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert [row["predicted_species"] for row in rows] == [
        ("Adelie", "Chinstrap", "Gentoo")[index] for index in probabilities.argmax(axis=1)
    ]
    right = np.mean([row["predicted_species"] == true for row, true in zip(rows, table.text("species"), strict=True)])
    assert printed.err == f"score: accuracy {right:.4f}\n"
    assert right > 0.97


def test_numbers_come_in_their_own_unit(rents, capsys):
    assert main(["predict", rents, "rents.csv"]) == 0
    printed = capsys.readouterr()
    predicted = np.array([float(row["predicted_rent"]) for row in predictions(printed.out)])
    true = read_table("rents.csv").numbers("rent")
    r2 = 1 - np.sum((true - predicted) ** 2) / np.sum((true - true.mean()) ** 2)
    assert r2 > 0.5
    assert f"score: R^2 {r2:.4f}, RMSE" in printed.err


def test_order_of_columns_and_other_columns_do_not_matter(rents, tmp_path, capsys):
    assert main(["predict", rents, "rents.csv"]) == 0
    expected = capsys.readouterr().out.splitlines()[:3]
    (tmp_path / "new.csv").write_text("note,city,area\n?,Bonn,0\nx,Ulm,1\n")
    assert main(["predict", rents, "new.csv"]) == 0
    assert capsys.readouterr() == ("\n".join(expected) + "\n", "ignored columns: 'note'\n")


def test_unknown_target_means_no_score(rents, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("city,area,rent\nBonn,0,\nUlm,1,\n")
    assert main(["predict", rents, "new.csv"]) == 0
    printed = capsys.readouterr()
    assert len(predictions(printed.out)) == 2
    assert printed.err == (
        "no score: new.csv, line 2, column 'rent': the value is missing; fill it in, or remove the row\n"
    )


def test_output_file(rents, tmp_path, capsys):
    assert main(["predict", rents, "rents.csv"]) == 0
    expected = capsys.readouterr().out
    words = ["predict", rents, "rents.csv", "--output", "predicted.csv"]
    assert main(words) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "predicted.csv").read_text() == expected
    assert main(words) == 1
    assert "predicted.csv exists; give --force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


@pytest.mark.parametrize("output", ["rents.csv", "rents.safetensors"])
def test_inputs_are_not_overwritten(rents, tmp_path, capsys, output):
    before = (tmp_path / output).read_bytes()
    assert main(["predict", rents, "rents.csv", "--output", output, "--force"]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert (tmp_path / output).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("area\n1\n", "new.csv has no column 'city'; it has 'area'"),
        ("x\n1\n", "new.csv has no columns 'area', 'city'"),
        ("area,city\n1,Rom\n", "new.csv, line 2, column 'city': 'Rom' is not known; known are 'Bonn', 'Ulm'"),
        ("area,city\n1,Ulm\n?,Ulm\n", "new.csv, line 3, column 'area': '?' stands for a missing value"),
        ("area,city\nbig,Ulm\n", "new.csv, line 2, column 'area': 'big' is not a number"),
        ("area,city\n1\n", "new.csv, line 2: 1 field"),
        ("", "new.csv is empty"),
    ],
)
def test_refused_table(rents, tmp_path, capsys, content, message):
    (tmp_path / "new.csv").write_text(content)
    assert main(["predict", rents, "new.csv"]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_refused_models(rents, tmp_path, capsys):
    (tmp_path / "text.safetensors").write_text("no model")
    Net([2, 1]).save("plain.safetensors")
    Net([2, 1]).save("strange.safetensors", metadata={"table": "{}"})
    Net([2, 1]).save("torn.safetensors", metadata={"table": "{"})
    table = TableEncoder.fit(read_table("rents.csv"), "rent", "regression").to_dict()
    Net([2, 1]).save("other.safetensors", metadata={"table": json.dumps(table)})
    for model, message in {
        "absent": "No such file",
        "text": "not a safetensors file",
        "plain": "not written by 'chainrule train'",
        "strange": "not the description of a table encoder",
        "torn": "torn.safetensors: ",
        "other": "is inconsistent: its table gives 3 inputs and 1 outputs",
    }.items():
        assert main(["predict", f"{model}.safetensors", "rents.csv"]) == 1
        printed = capsys.readouterr()
        assert message in printed.err
        assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_probabilities_of_numbers_are_refused(rents, capsys):
    assert main(["predict", rents, "rents.csv", "--probabilities"]) == 1
    assert "--probabilities needs a model of classes" in capsys.readouterr().err


def test_json(penguins, capsys):
    words = ["predict", penguins, str(DATASETS["penguins"].path), "--probabilities"]
    assert main(words) == 0
    expected = predictions(capsys.readouterr().out)
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["predictions"] == {
        name: [row[name] if name == "predicted_species" else float(row[name]) for row in expected]
        for name in expected[0]
    }
    assert printed.err == f"score: accuracy {result['score']['accuracy']:.4f}\n"
    assert main([*words, "--json", "--output", "predicted.json"]) == 0
    with open("predicted.json") as file:
        assert json.load(file) == result


def test_json_without_the_truth_has_no_score(rents, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("city,area\nBonn,0\nUlm,1\n")
    assert main(["predict", rents, "new.csv", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["score"] is None
    assert len(result["predictions"]["predicted_rent"]) == 2


def test_threads(rents, capsys):
    assert main(["predict", rents, "rents.csv"]) == 0
    expected = capsys.readouterr()
    assert main(["predict", rents, "rents.csv", "--threads", "1"]) == 0
    assert capsys.readouterr() == expected


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_classes_that_float64_would_round_are_exact(tmp_path, capsys, kind):
    ids = [9007199254740992, 9007199254740993, 123456789012345678]
    columns = {"x": [float(row % 3) for row in range(60)], "id": [ids[row % 3] for row in range(60)]}
    if kind == "csv":
        rows = zip(*columns.values(), strict=True)
        (tmp_path / "ids.csv").write_text("x,id\n" + "".join(f"{x},{each}\n" for x, each in rows))
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table(columns), "ids.parquet")
    words = ["train", f"ids.{kind}", "--target", "id", "--task", "classification", "--quiet"]
    assert main([*words, "--epochs", "200", "--lr", "0.05"]) == 0
    capsys.readouterr()
    assert main(["predict", "ids.safetensors", f"ids.{kind}"]) == 0
    printed = capsys.readouterr()
    assert [row["predicted_id"] for row in predictions(printed.out)] == list(map(str, columns["id"]))
    assert printed.err == "score: accuracy 1.0000\n"


def test_a_model_that_is_saved_anew_in_between(rents, tmp_path, capsys, monkeypatch):
    """Net and encoding are of the same reading, so the file may be replaced after it."""
    assert main(["predict", rents, "rents.csv"]) == 0
    expected = capsys.readouterr()
    read_bytes = Path.read_bytes

    def read_and_replace(path):
        content = read_bytes(path)
        Net([2, 1]).save(path)
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_replace)
    assert main(["predict", rents, "rents.csv"]) == 0
    assert capsys.readouterr() == expected


def test_a_model_of_nan_predicts_nothing(penguins, capsys):
    """As a damaged file may hold; the first class of all would look like a prediction."""
    net, metadata = load_with_metadata(penguins)
    net.parameters[-1] = np.nan
    net.save(penguins, metadata)
    assert main(["predict", penguins, str(DATASETS["penguins"].path)]) == 1
    assert "has parameters that are not finite" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_predictions_are_written_where_comments_cannot_be(rents):
    command = [sys.executable, "-m", "chainrule", "predict", rents, "rents.csv"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False)
    assert len(predictions(done.stdout)) == 40
