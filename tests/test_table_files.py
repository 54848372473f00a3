"""Tables from NumPy's files and from Parquet: the same numbers and texts as from CSV."""

from __future__ import annotations

import io
import sys
import zipfile
from decimal import Decimal

import numpy as np
import pytest

from chainrule.datasets import DATASETS
from chainrule.tables import Categories, TableEncoder, infer_task, parse_table, read_table


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def parquet(**columns) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    file = io.BytesIO()
    writer.write_table(pyarrow.table(columns), file)
    return file.getvalue()


class TestNumPy:
    def test_columns_of_an_array_are_numbered(self):
        read = parse_table(npy(np.array([[1, 2], [3, 4], [5, 6]])), "a.npy")
        assert (read.names, read.rows) == (("0", "1"), 3)
        assert read.numbers("1").tolist() == [2, 4, 6]
        assert read.text("1") == ["2", "4", "6"]

    def test_one_dimension_is_one_column(self):
        assert parse_table(npy(np.array([0.5, 2])), "a.npy").text("0") == ["0.5", "2"]

    def test_fields_of_a_structured_array(self):
        read = parse_table(npy(RECORDS), "a.npy")
        assert (read.numbers("size").tolist(), read.text("kind")) == ([1.5, 2.5], ["x", "y"])

    def test_several_arrays(self):
        content = npz(
            X=np.arange(6).reshape(3, 2), y=np.array([True, False, True]), z=np.ones((3, 1)), s=[b"a", b"b", b"c"]
        )
        read = parse_table(content, "a.npz")
        assert read.names == ("X.0", "X.1", "y", "z", "s")
        assert read.numbers("X.1").tolist() == [1, 3, 5]
        assert (read.text("y"), read.text("s")) == (["True", "False", "True"], ["a", "b", "c"])

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u2", "i8"])
    def test_every_real_dtype(self, dtype):
        assert parse_table(npy(np.array([1, 2], dtype=dtype)), "a").numbers("0").tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (npy(np.ones((2, 2, 2))), "must have 1 or 2 dimensions to be a table; its shape is .2, 2, 2."),
            (npy(np.float64(1)), "must have 1 or 2 dimensions"),
            (npy(np.ones((0, 2))), "a.npy: the array has no rows"),
            (npy(np.ones((2, 0))), "a.npy: the array is empty"),
            (npy(np.array([b"\xff"])), "column '0': not text in UTF-8"),
            (npy(np.array([0x110000], dtype=np.uint32).view("U1")), "column '0': not text, but numbers beyond"),
            (npy(np.array(["a\0b"])), "column '0': not text, but with characters NUL"),
            (npy(np.array([b"a\0b"])), "column '0': not text, but with characters NUL"),
            (npy(np.array(["\ud800"])), "column '0': not text, but with characters NUL or halves"),
            (npy(np.array([(1, 2)], [("a\0b", "i1"), ("b", "i1")])), "name of column 1 is not text: 'a"),
            (npy(np.array([(1, 2)], [("a", "i1"), ("a ", "i1")])), "two columns are called 'a'"),
            (npz(**{"a": np.ones(1), " ": np.ones(1)}), "column 2 has no name"),
            (npy(np.array([1j])), "column '0': the numbers are complex"),
            (npy(np.array([{}], dtype=object)), "a.npy is not a file of numpy.save: Object arrays cannot be loaded"),
            (npy(np.ones(100))[:200], "a.npy is not a file of numpy.save"),
            (b"\x93NUMPY", "a.npy is not a file of numpy.save"),
            (b"a,b\n1,2\n", "a.npy is not a file of numpy.save"),
            (npz(X=np.ones((3, 2)), y=np.ones(4)), "column 'y': 4 rows, but others have 3"),
            (npz(X=np.ones((1, 2)), **{"X.1": np.ones(1)}), "two columns are called 'X.1'"),
            (npz(X=np.ones(3))[:50], "a.npy is not a file of numpy.savez"),
            (npz(), "a.npy is not a file of numpy.save"),
        ],
    )
    def test_refused(self, content, message):
        with pytest.raises(ValueError, match=message):
            parse_table(content, "a.npy")

    @pytest.mark.parametrize(("value", "fault"), [(np.nan, "missing"), (np.inf, "infinite")])
    def test_faulty_value_names_row_and_column(self, value, fault):
        read = parse_table(npy(np.array([[1, 2], [3, value]])), "a.npy")
        assert read.numbers("0").tolist() == [1, 3]  # a column that nobody uses may hold anything
        with pytest.raises(ValueError, match=rf"a\.npy, row 2, column '1': .*{fault}"):
            read.numbers("1")


class TestParquet:
    def test_types(self):
        read = parse_table(parquet(i=[1, 2], f=[0.5, 1.5], s=["x", " y "], b=[True, False]), "a.parquet")
        assert [read.text(name) for name in "ifsb"] == [["1", "2"], ["0.5", "1.5"], ["x", "y"], ["True", "False"]]
        assert [read.is_numeric(name) for name in "ifsb"] == [True, True, False, False]

    @pytest.mark.parametrize("column", [[1, None], [0.5, None], [0.5, float("nan")], ["x", None], [True, None]])
    def test_missing_value_names_row_and_column(self, column):
        with pytest.raises(ValueError, match=r"a\.pq, row 2, column 'c': .*missing value|the value is missing"):
            parse_table(parquet(c=column), "a.pq").text("c")

    def test_other_types(self):
        pyarrow = pytest.importorskip("pyarrow")
        columns = {"d": [Decimal("1.25"), Decimal("2.50")], "c": pyarrow.array(["u", "v"]).dictionary_encode()}
        read = parse_table(parquet(**columns), "a.parquet")
        assert (read.numbers("d").tolist(), read.text("c")) == ([1.25, 2.5], ["u", "v"])

    @pytest.mark.parametrize("column", [[[1], [2, 3]], [{"a": 1}, {"a": 2}]])
    def test_lists_and_records_are_no_categories(self, column):
        with pytest.raises(ValueError, match=r"a\.parquet, column 'c' holds lists or records, (list|struct)<"):
            parse_table(parquet(c=column), "a.parquet")

    @pytest.mark.parametrize("content", [b"PAR1", b"PAR1 and no more PAR1", b"a,b\n1,2\n"])
    def test_refused(self, content):
        pytest.importorskip("pyarrow")
        with pytest.raises(ValueError, match=r"a\.parquet is not a Parquet file"):
            parse_table(content, "a.parquet")

    def test_without_pyarrow(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ImportError, match=r"a\.parquet needs pyarrow: pip install 'chainrule\[parquet\]'"):
            parse_table(b"PAR1", "a.parquet")


IDS = [2**53 + 1, 2**53, 123456789012345678, 2**63 - 1]


class TestIntegersThatFloat64Rounds:
    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (lambda: npy(np.array(IDS)), "a.npy"),
            (lambda: npz(**{"0": np.array(IDS, dtype=">i8")}), "a.npz"),
            (lambda: npz(**{"0": np.array(IDS, dtype=np.uint64)}), "a.npz"),
            (lambda: parquet(**{"0": IDS}), "a.parquet"),
            (lambda: parquet(**{"0": [Decimal(i) for i in IDS]}), "a.parquet"),
        ],
        ids=["npy", "npz", "npz unsigned", "parquet", "parquet decimal"],
    )
    def test_they_are_exact_labels(self, content, name):
        read = parse_table(content(), name)
        target = Categories.fit(read, "0")
        assert target == Categories("0", tuple(map(str, sorted(IDS))), numeric=True)
        assert target.decode(target.encode_indices(read)) == list(map(str, IDS))
        assert read.numbers("0").tolist() == list(map(float, IDS))

    def test_the_same_from_every_kind_of_file(self):
        values = [2.0**53, 2.0**70, 1e23, -1e300]
        text = "y\n" + "\n".join(map(repr, values))
        read = [parse_table(npz(y=values), "a.npz"), parse_table(text.encode(), "a.csv")]
        assert Categories.fit(read[0], "y") == Categories.fit(read[1], "y")

    def test_of_longer_floats(self):
        column = np.array([2**53, 1], dtype=np.longdouble) + 1
        if column[0] == 2**53:
            pytest.skip("no longer than float64 here")
        assert Categories.fit(parse_table(npy(column), "a.npy"), "0").labels == ("2", "9007199254740993")

    def test_those_that_fit_stay_numbers(self):
        cells = parse_table(npz(y=np.array([2**53, -(2**60)])), "a.npz").cells["y"]
        assert isinstance(cells, np.ndarray)


class TestTextAsBytes:
    @pytest.mark.parametrize("length", [-1, 4])
    def test_of_parquet_is_decoded(self, length):
        pyarrow = pytest.importorskip("pyarrow")
        texts = ["käs", " b  ", "yz\0\0"] if length == 4 else ["käsekuchen", " b", "yz"]
        column = pyarrow.array([text.encode() for text in texts], type=pyarrow.binary(length))
        expected = [text.strip(" \0") for text in texts]
        for each in (column, column.dictionary_encode()):
            assert parse_table(parquet(c=each), "a.parquet").text("c") == expected

    def test_null_is_missing(self):
        with pytest.raises(ValueError, match=r"a\.parquet, row 2, column 'c': the value is missing"):
            parse_table(parquet(c=[b"x", None]), "a.parquet").text("c")

    def test_that_is_none_is_refused(self):
        with pytest.raises(ValueError, match=r"^a\.parquet, column 'c': not text in UTF-8 \(invalid start byte\)"):
            parse_table(parquet(c=[b"x", b"\xff"]), "a.parquet")


@pytest.mark.parametrize("dtype", ["M8[D]", "M8[us]", "M8[ns]", "m8[s]", "m8[ns]"])
def test_no_time_is_a_missing_value(dtype):
    read = parse_table(npz(t=np.array([1, "NaT", 3], dtype=dtype)), "a.npz")
    for ask in (read.text, read.is_numeric):
        with pytest.raises(ValueError, match=r"a\.npz, row 2, column 't': the value is missing"):
            ask("t")


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "standard input"])
def test_a_spreadsheet_is_no_csv(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(ValueError, match=rf"^{name} is a ZIP archive such as a spreadsheet; export it as CSV"):
        parse_table(file.getvalue(), name)


RECORDS = np.array([(1.5, "x"), (2.5, "y")], dtype=[("size", "f4"), ("kind", "U3")])


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required")
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.npy", lambda: npy(np.arange(6.0).reshape(3, 2))),
        ("b.npy", lambda: npy(RECORDS)),
        ("a.npz", lambda: npz(X=np.ones((3, 2)), y=np.arange(3))),
        ("a.parquet", lambda: parquet(a=[1, 2], s=["x", "y"])),
        ("a.csv", lambda: b'a,b\n1,"x"\n2,y\n'),
    ],
)
def test_damaged_files_are_refused_or_read(name, make):
    whole, random = make(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        try:
            table = parse_table(bytes(damaged[: random.integers(1, 2 * len(whole))]), name)
        except (ValueError, MemoryError):
            refused += 1
        else:
            assert table.rows > 0
    assert 0 < refused <= 300


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_bundled_data_is_the_same_in_every_format(dataset, kind, tmp_path):
    bundled = DATASETS[dataset]
    table = read_table(bundled.path)
    columns = {name: table.numbers(name) if table.is_numeric(name) else table.text(name) for name in table.names}
    path = tmp_path / f"data.{kind}"
    path.write_bytes({"parquet": parquet, "npz": npz}[kind](**columns))
    read = read_table(path)
    encoders = [TableEncoder.fit(each, bundled.target, infer_task(each, bundled.target)) for each in (table, read)]
    assert encoders[0] == encoders[1]
    assert np.array_equal(*(encoders[0].encode_features(each) for each in (table, read)))
    assert np.array_equal(*(encoders[0].encode_target(each) for each in (table, read)))
