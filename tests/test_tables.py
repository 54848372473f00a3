"""CSV files: what is read, what is refused, and how columns become numbers and come back."""

from __future__ import annotations

import gzip
import json
import time

import numpy as np
import pytest

from chainrule.tables import (
    Categories,
    Standardised,
    Table,
    TableEncoder,
    baseline_outputs,
    describe_scores,
    infer_task,
    read_table,
    score,
    split_rows,
)
from chainrule.tables.encoder import CONSTANT


@pytest.fixture
def write(tmp_path):
    def write_file(content: str | bytes):
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def table(**columns: list[object]) -> Table:
    cells = {name: [str(cell) for cell in column] for name, column in columns.items()}
    rows = len(next(iter(cells.values())))
    return Table("data.csv", cells, list(range(2, rows + 2)))


class TestReading:
    def test_columns_in_order_without_surrounding_blanks(self, write):
        read = read_table(write('a, b ,c\n1, x ,"2,5"\n3,y,z\n'))
        assert read.cells == {"a": ["1", "3"], "b": ["x", "y"], "c": ["2,5", "z"]}
        assert (read.names, read.rows, read.lines) == (("a", "b", "c"), 2, [2, 3])

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_delimiters(self, write, delimiter):
        read = read_table(write("a,b\n1,2\n".replace(",", delimiter)))
        assert read.cells == {"a": ["1"], "b": ["2"]}

    @pytest.mark.parametrize(
        ("header", "names"),
        [
            ('"size, in m";y', ("size, in m", "y")),
            ("x, y\ta\tz", ("x, y", "a", "z")),
            ("\n \n\na;y", ("a", "y")),
        ],
    )
    def test_delimiters_are_looked_for_in_the_header_outside_quotes(self, write, header, names):
        delimiter = "\t" if "\t" in header else ";"
        assert read_table(write(f"{header}\n{delimiter.join('1' * len(names))}\n")).names == names

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_ends(self, write, end):
        read = read_table(write(f"a,b{end}1,x{end}{end}2,y"))
        assert (read.cells, read.lines) == ({"a": ["1", "2"], "b": ["x", "y"]}, [2, 4])

    def test_byte_order_mark_is_no_part_of_the_first_name(self, write):
        for marks in (1, 2):
            assert read_table(write(marks * b"\xef\xbb\xbf" + b"a,b\r\n1,2\r\n")).names == ("a", "b")

    def test_a_quoted_nothing_is_a_row_and_a_blank_line_is_none(self, write):
        read = read_table(write('a\n""\n\n  \n2\n'))
        assert (read.cells, read.lines) == ({"a": ["", "2"]}, [2, 5])

    def test_lines_are_counted_with_blank_lines_and_line_breaks_in_quotes(self, write):
        read = read_table(write('\na,b\n\n1,"x\ny"\n\n2,z\n'))
        assert read.cells["b"] == ["x\ny", "z"]
        assert read.lines == [5, 7]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", r"data\.csv is empty"),
            ("\n\n", r"data\.csv is empty"),
            ("   \n", r"data\.csv is empty"),
            ("a,b\n", r"data\.csv has a header but no rows"),
            ("a,b\n1,2\n\n3\n", r"data\.csv, line 4: 1 field, but the header names 2 columns"),
            ("a,b\n1,2,3\n", r"data\.csv, line 2: 3 fields, but the header names 2 columns"),
            ("a,b,a\n1,2,3\n", r"two columns are called 'a'"),
            (",b\n1,2\n", r"column 1 has no name"),
            ('a,b\n1,"2\n3,4\n', r"line 3: not CSV"),
            (b"a,b\n\xff\xfe,2\n", r"not a text file in UTF-8"),
            ("a,b\n1,2\n".encode("utf-16"), r"data\.csv is UTF-16; save it as UTF-8"),
            (b"\xfe\xff" + "a,b\n1,2\n".encode("utf-16-be"), r"data\.csv is UTF-16; save it as UTF-8"),
            ("a,b\n1,2\n".encode("utf-16-be"), r"data\.csv has characters NUL, as UTF-16 would have"),
            (gzip.compress(b"a,b\n1,2\n", mtime=0), r"data\.csv is compressed by gzip; unpack it first"),
        ],
    )
    def test_refused(self, write, content, message):
        with pytest.raises(ValueError, match=message):
            read_table(write(content))

    def test_absent_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_table(tmp_path / "absent.csv")


class TestColumns:
    def test_numbers(self):
        assert table(a=["1", "-2.5", "1e3", "+.5"]).numbers("a").tolist() == [1, -2.5, 1000, 0.5]

    @pytest.mark.parametrize("cell", ["", "NA", "N/A", "#N/A", "<NA>", "nan", "NaN", "null", "NULL", "?"])
    def test_missing_value_names_line_and_column(self, cell):
        missing = table(a=[1, cell, 3])
        for read in (missing.text, missing.numbers, missing.is_numeric):
            with pytest.raises(ValueError, match=r"data\.csv, line 3, column 'a'.*missing"):
                read("a")

    @pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
    def test_infinite_value(self, cell):
        with pytest.raises(ValueError, match=r"line 3, column 'a': .* is infinite"):
            table(a=[1, cell]).numbers("a")

    @pytest.mark.parametrize("cell", ["abc", "1_000", "1,5 m", "-nan", "0x10"])
    def test_text_where_a_number_is_needed(self, cell):
        assert not table(a=[1, cell]).is_numeric("a")
        with pytest.raises(ValueError, match=r"line 3, column 'a': .* is not a number"):
            table(a=[1, cell]).numbers("a")

    def test_one_text_among_many_numbers_is_a_slip(self):
        with pytest.raises(ValueError, match=r"line 12, column 'a': '1,5' is not a number, while 19 other rows"):
            table(a=[*range(10), "1,5", *range(9)]).is_numeric("a")

    @pytest.mark.parametrize("column", [["1,5", "2,25"], ["1", "1,5"], ["-0,5", "3"]])
    def test_decimal_commas_are_no_categories(self, column):
        with pytest.raises(ValueError, match=r"line \d, column 'a': '.*,.*' has a decimal comma"):
            table(a=column).is_numeric("a")

    @pytest.mark.parametrize(
        "column",
        [
            ["950,00", "990,00", "1.250,00", "2.100,00"],
            ["950,000", "1,250,000"],
            ["1,234,567.89", "7,5"],
            ["1'234.50", "12\u2019000"],
            ["1 234,5", "12\u00a0345"],
            ["+,5", "-1.234.567", "1,5e3"],
            ["1 234.5", "1 234"],
        ],
    )
    def test_separators_of_thousands_are_no_categories(self, column):
        with pytest.raises(ValueError, match=r"line 2, column 'a': .* has a decimal comma, or separators of thous"):
            table(a=column).is_numeric("a")

    @pytest.mark.parametrize(
        "column",
        [["+", "-"], ["1.2.3", "1.2.4"], ["10.100.200.1", "10.100.200.101"], ["560 001", "110 003"], ["a", ","]],
    )
    def test_texts_that_have_separators_are_categories(self, column):
        assert not table(a=column).is_numeric("a")

    def test_thousands_of_absent_columns_are_told_at_once(self):
        """Each of them was compared with each that is there, for minutes."""
        wide = table(**{f"sensor_a_{i:04d}": [1] for i in range(3000)})
        before = time.process_time()
        with pytest.raises(ValueError, match=r"has no columns 'sensor_b_0000', .*; did you mean 'sensor_a_0000'"):
            wide.require([f"sensor_b_{i:04d}" for i in range(3000)])
        assert time.process_time() - before < 10

    @pytest.mark.parametrize(
        ("given", "meant"), [("specis", "species"), ("SPECIES", "species"), ("bill length", "bill_length")]
    )
    def test_absent_column_that_is_nearly_there(self, given, meant):
        with pytest.raises(ValueError, match=rf"it has .*; did you mean '{meant}'\?$"):
            table(bill_length=[1], species=["x"]).require([given])

    def test_absent_columns_are_all_listed(self):
        with pytest.raises(ValueError, match=r"has no columns 'x', 'y'; it has 'a', 'b'$"):
            table(a=[1], b=[2]).require(["x", "a", "y"])


class TestTask:
    @pytest.mark.parametrize(
        ("target", "task"),
        [
            (["x", "y", "x"], "classification"),
            ([0, 1, 0, 1], "classification"),
            (["0.0", "1.0", "1"], "classification"),
            ([0, 1, 2, 3], "regression"),
            ([0, 1, 2] * 10, "classification"),
            ([0, 1, 2] * 9, "regression"),
            ([0.5, 1] * 10, "regression"),
            (list(range(20)) * 10, "classification"),
            (list(range(21)) * 10, "regression"),
        ],
    )
    def test_rule(self, target, task):
        assert infer_task(table(y=target), "y") == task


class TestSplit:
    @pytest.mark.parametrize("classes", [None, np.repeat([0, 1, 2], [50, 30, 20])])
    def test_parts_cover_all_rows_once(self, classes):
        split = split_rows(100, validation=0.15, test=0.2, seed=3, classes=classes)
        joined = np.concatenate([split.train, split.validation, split.test])
        assert np.sort(joined).tolist() == list(range(100))
        assert (len(split.validation), len(split.test)) == (15, 20)

    def test_every_class_is_split_by_the_same_shares(self):
        classes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 60, 20]))
        split = split_rows(180, validation=0.15, test=0.2, seed=0, classes=classes)
        assert np.bincount(classes[split.test]).tolist() == [20, 12, 4]
        assert np.bincount(classes[split.validation]).tolist() == [15, 9, 3]

    def test_the_only_row_of_a_class_is_trained_on(self):
        split = split_rows(41, validation=0.15, test=0.2, seed=0, classes=np.array([0] * 40 + [1]))
        assert 40 in split.train

    def test_seed(self):
        first, again, other = (split_rows(100, validation=0.15, test=0.2, seed=seed) for seed in (1, 1, 2))
        assert first.test.tolist() == again.test.tolist()
        assert first.test.tolist() != other.test.tolist()

    def test_zero_fractions(self):
        split = split_rows(4, validation=0, test=0, seed=0)
        assert (len(split.train), len(split.validation), len(split.test)) == (4, 0, 0)

    @pytest.mark.parametrize(
        ("rows", "validation", "test", "message"),
        [
            (2, 0.15, 0.2, "2 rows cannot be split into parts with 15% for validation"),
            (100, 0.5, 0.5, "leave no rows to train on"),
            (100, -0.1, 0.2, "validation fraction must be"),
            (100, 0.1, 1.0, "test fraction must be"),
            (1, 0.4, 0.59, "1 row cannot be split into parts with 1% for train"),
        ],
    )
    def test_refused(self, rows, validation, test, message):
        with pytest.raises(ValueError, match=message):
            split_rows(rows, validation=validation, test=test, seed=0)


class TestEncoder:
    people = table(
        size=[1.5, 1.7, 1.6, 1.9], sex=["f", "m", "f", "m"], shoes=[40, 40, 40, 40], weight=[50, 80, 61.5, 90]
    )

    def test_numbers_are_standardised_and_text_is_one_hot(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression")
        X = encoder.encode_features(self.people)
        assert encoder.feature_names == ("size", "sex=f", "sex=m", "shoes")
        size = np.array([1.5, 1.7, 1.6, 1.9])
        np.testing.assert_allclose(X[:, 0], (size - size.mean()) / size.std(), rtol=1e-15)
        assert X[:, 1:3].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
        assert X[:, 3].tolist() == [0, 0, 0, 0]

    def test_a_constant_column_says_nothing_despite_rounding_and_later(self):
        column = Standardised.fit(table(a=["0.1"] * 7), "a")
        assert column.std == CONSTANT
        assert column.encode(table(a=["0.1", "7", "-1e300"])).ravel().tolist() == [0, 0, 0]

    def test_a_target_that_is_constant_where_it_is_learned_from(self):
        people = table(a=["1", "2", "3"], y=["4", "4", "5"])
        target = TableEncoder.fit(people, "y", "regression", train_rows=np.array([0, 1])).target
        assert target == Standardised("y", 4, 1)

    def test_codes_are_text_and_numbers_are_labels_by_value(self):
        codes = table(a=["1", "2", "3", "4"], y=["007", "7", "7", "10"])
        assert TableEncoder.fit(codes, "y", "classification").target == Categories("y", ("007", "10", "7"))
        numbers = table(a=["1", "2", "3", "4"], y=["1e1", "7", "0.5", "10"])
        assert TableEncoder.fit(numbers, "y", "classification").target == Categories("y", ("0.5", "7", "10"), True)

    def test_scaling_is_learned_from_the_training_rows_and_categories_from_all(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression", train_rows=np.array([0, 2]))
        size, sex, _ = encoder.features
        assert size == Standardised("size", np.mean([1.5, 1.6]), np.std([1.5, 1.6]))
        assert sex == Categories("sex", ("f", "m"))
        assert encoder.target == Standardised("weight", np.mean([50, 61.5]), np.std([50, 61.5]))

    def test_regression_targets_come_back(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression")
        Y = encoder.encode_target(self.people)
        assert Y.shape == (4, 1)
        np.testing.assert_allclose(Y.mean(), 0, atol=1e-15)
        np.testing.assert_allclose(encoder.target.decode(Y)[:, 0], [50, 80, 61.5, 90], rtol=1e-15)

    def test_classes_are_sorted_and_come_back(self):
        encoder = TableEncoder.fit(self.people, "sex", "classification")
        Y = encoder.encode_target(self.people)
        assert (encoder.task, encoder.outputs) == ("classification", 2)
        assert Y.tolist() == [0, 1, 0, 1]
        assert encoder.target.decode(Y) == ["f", "m", "f", "m"]

    def test_numbers_as_classes_are_sorted_by_value_however_written(self):
        numbers = table(a=range(5), y=["10", "9.0", "9", "1e1", "-1.5"])
        encoder = TableEncoder.fit(numbers, "y", "classification")
        assert encoder.target.labels == ("-1.5", "9", "10")
        assert encoder.encode_target(numbers).tolist() == [2, 1, 1, 2, 0]

    @pytest.mark.parametrize(
        ("cells", "labels"),
        [
            (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
            (["-9007199254740993", "-9007199254740992", "0.5"], ("-9007199254740993", "-9007199254740992", "0.5")),
            (["123456789012345678", "9007199254740995.0", "1e3"], ("1000", "9007199254740995", "123456789012345678")),
            (["9.007199254740993e15", "3"], ("3", "9007199254740993")),
            (["1" + "0" * 23, "1e23", "+" + "1" + "0" * 23], (str(int(1e23)), "1" + "0" * 23)),  # 1e23 is a float
            (["9007199254740993.5", "1"], ("1", "9007199254740994")),
        ],
    )
    def test_integers_that_float64_rounds_keep_every_digit_as_classes(self, cells, labels):
        numbers = table(a=range(len(cells)), y=cells)
        encoder = TableEncoder.fit(numbers, "y", "classification")
        assert encoder.target == Categories("y", labels, numeric=True)
        assert sorted(set(encoder.encode_target(numbers).tolist())) == list(range(len(labels)))
        assert numbers.numbers("y").tolist() == [float(cell) for cell in cells]

    def test_an_integer_beside_a_known_one_is_unknown(self):
        target = Categories("y", ("9007199254740992", "9007199254740994"), numeric=True)
        with pytest.raises(ValueError, match="line 3, column 'y': '9007199254740993' is not known"):
            target.encode_indices(table(y=[2**53, 2**53 + 1]))

    def test_counts_to_predict_are_not_scaled(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression", scale_target=False)
        assert encoder.encode_target(self.people).tolist() == [[50], [80], [61.5], [90]]
        assert encoder.features == TableEncoder.fit(self.people, "weight", "regression").features

    @pytest.mark.parametrize(("target", "task"), [("weight", "regression"), ("sex", "classification")])
    def test_json_keeps_it_exactly(self, target, task):
        encoder = TableEncoder.fit(self.people, target, task)
        again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
        assert again == encoder
        assert again.encode_features(self.people).tobytes() == encoder.encode_features(self.people).tobytes()

    @pytest.mark.parametrize(
        "described",
        [
            {},
            [],
            {"features": [{"name": "a"}], "target": {"name": "y", "mean": 0.0, "std": 1.0}},
            {"features": [], "target": {"name": "y", "mean": 0.0, "std": 0.0}},
            {"features": [], "target": {"name": "y", "mean": "0", "std": 1.0}},
            {"features": [], "target": {"name": "y", "labels": [1, 2], "numeric": True}},
        ],
    )
    def test_other_json_is_refused(self, described):
        with pytest.raises(ValueError, match="not the description of a table encoder"):
            TableEncoder.from_dict(described)

    def test_unseen_category(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression")
        unseen = table(size=[1, 2], sex=["f", "x"], shoes=[1, 2])
        with pytest.raises(ValueError, match=r"line 3, column 'sex': 'x' is not known; known are 'f', 'm'"):
            encoder.encode_features(unseen)

    def test_missing_columns_are_listed_and_others_ignored(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression")
        with pytest.raises(ValueError, match=r"has no columns 'size', 'shoes'"):
            encoder.encode_features(table(sex=["f"], other=["?"]))
        more = table(other=["?"], shoes=[40], size=[1.5], sex=["f"])
        assert encoder.encode_features(more).tolist() == encoder.encode_features(self.people)[:1].tolist()

    @pytest.mark.parametrize(
        ("columns", "target", "task", "message"),
        [
            ({"y": [1, 2]}, "y", "regression", "has no column to predict 'y' from"),
            ({"a": [1, 2], "y": [1, 2]}, "z", "regression", "has no column 'z'; it has 'a', 'y'"),
            ({"a": [1, 2], "y": [3, 3]}, "y", "regression", "target column 'y' has one value only, '3'"),
            ({"a": [1, 2], "y": ["3", "3.0"]}, "y", "regression", "target column 'y' has one value only"),
            ({"a": [1, 2], "y": ["u", "u"]}, "y", "classification", "target column 'y' has one value only, 'u'"),
            ({"a": [1, 2], "y": ["u", "v"]}, "y", "regression", "line 2, column 'y': 'u' is not a number"),
            (
                {"id": ["p", "q", "r"], "y": [1, 2, 3]},
                "y",
                "regression",
                "3 different texts, such as 'p', .*--ignore id",
            ),
            ({"a": [1e308, -1e308], "y": [1, 2]}, "y", "regression", "column 'a': the numbers are too large"),
            ({"a": range(1001), "y": range(1001)}, "y", "classification", "1001 different values are too many"),
        ],
    )
    def test_refused(self, columns, target, task, message):
        with pytest.raises(ValueError, match=message):
            TableEncoder.fit(table(**columns), target, task)

    def test_ignored_columns(self):
        encoder = TableEncoder.fit(self.people, "weight", "regression", ignore=["sex", "size"])
        assert encoder.feature_names == ("shoes",)
        with pytest.raises(ValueError, match="has no column 'x'"):
            TableEncoder.fit(self.people, "weight", "regression", ignore=["x"])
        with pytest.raises(ValueError, match="target column 'weight' cannot be ignored"):
            TableEncoder.fit(self.people, "weight", "regression", ignore=["weight"])


class TestScores:
    numbers = Standardised("y", 10, 2)
    classes = Categories("y", ("u", "v"))

    def test_numbers_in_their_own_unit(self):
        scores = score(self.numbers, np.array([[0.0], [1], [2]]), np.array([[0.0], [1], [1]]))
        # True are 10, 12, 12, predicted 10, 12, 14.
        assert scores == {"R^2": pytest.approx(-0.5), "RMSE": pytest.approx(np.sqrt(4 / 3))}

    def test_r2_is_undefined_for_equal_numbers(self):
        scores = score(self.numbers, np.array([[0.0], [1]]), np.array([[1.0], [1]]))
        assert np.isnan(scores["R^2"])
        assert describe_scores(scores) == "R^2 nan, RMSE 1.414"

    def test_accuracy(self):
        outputs = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
        assert score(self.classes, outputs, np.array([0, 1, 1, 1])) == {"accuracy": 0.75}

    def test_baseline_is_the_mean_or_the_frequencies_of_the_training_rows(self):
        assert baseline_outputs(self.numbers, np.array([[1.0], [2]]), 3).tolist() == [[1.5]] * 3
        assert baseline_outputs(self.classes, np.array([1, 1, 0, 1]), 2).tolist() == [[0.25, 0.75]] * 2


@pytest.mark.parametrize("exponent", [-320, -300, -162, 0, 162, 300])
def test_deviations_of_any_size(exponent):
    """Their squares are beyond the numbers there are: the column was taken for a constant one, or refused."""
    ones = np.random.default_rng(0).normal(size=100)
    data = table(x=[repr(float(f"{v!r}e{exponent}")) for v in ones.tolist()], y=ones.tolist())
    encoded = Standardised.fit(data, "x").encode(data)
    rough = 0.1 if exponent == -320 else 1e-9  # numbers of three digits there
    np.testing.assert_allclose(encoded[:, 0], (ones - ones.mean()) / ones.std(), rtol=rough, atol=rough)
    target = Standardised.fit(data, "x")
    scores = score(target, encoded + 0.1, encoded)
    assert scores["R^2"] == pytest.approx(0.99, rel=rough)
    assert scores["RMSE"] == pytest.approx(0.1 * target.std, rel=rough)


def test_scores_of_equal_numbers_and_of_outputs_of_nan():
    target = Standardised("y", 0.25, 2.0)
    scores = score(target, np.array([[0.1], [0.1], [0.2]]), np.full((3, 1), 0.1))
    assert np.isnan(scores["R^2"])
    assert np.isnan(score(target, np.zeros((2, 1)), np.array([[0.0], [1e-170]]))["R^2"])  # whose square is 0
    outputs = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    assert score(Categories("y", ("a", "b")), outputs, np.array([0, 0, 1])) == {"accuracy": pytest.approx(2 / 3)}
