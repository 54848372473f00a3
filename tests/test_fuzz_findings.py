"""What the fuzzers of `fuzz/` found, each with the smallest input that showed it."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from chainrule import ModelFormatError
from chainrule.tables import TableEncoder, parse_table
from helpers import assemble, header_and_data


def change_metadata(path, key, change):
    """Change the JSON that a model file has under a key of its metadata."""
    header, data = header_and_data(path.read_bytes())
    description = json.loads(header["__metadata__"].get(key, "{}"))
    header["__metadata__"][key] = change(description)
    path.write_bytes(assemble(header, data))


@pytest.fixture
def estimator_file(tmp_path):
    """A classifier whose generator is a `RandomState`, and a function that changes an entry of its description."""
    pytest.importorskip("sklearn")
    from chainrule.estimators import MLPClassifier

    path = tmp_path / "model"
    X = np.sin(np.arange(12.0)).reshape(6, 2)
    estimator = MLPClassifier([2], max_iter=1, random_state=np.random.RandomState(0), solver="sgd")
    estimator.partial_fit(X, np.array(["no", "yes"])[np.arange(6) % 2], classes=["no", "yes"]).save(path)

    def change(group, name, value):
        def set_entry(description):
            description[group][name] = value(description[group][name]) if callable(value) else value
            return json.dumps(description)

        change_metadata(path, "chainrule.estimator", set_entry)
        return path

    return change


def refuse(path, match=None):
    from chainrule.estimators import MLPClassifier

    with pytest.raises(ModelFormatError, match=match):
        MLPClassifier.load(path)


def with_generator(entry, value):
    """Change one entry of the state of a generator: its name, keys, position, ..."""

    def change(state):
        state["random_state"][entry] = value
        return state

    return change


@pytest.mark.parametrize(
    "keys", [[7430246022] * 624, [-1] * 624, [0], [], "abc", None], ids=lambda keys: str(keys)[:20]
)
def test_keys_of_a_generator_beyond_32_bits(estimator_file, keys):
    """`OverflowError` left `load`, found after 1,347 runs."""
    refuse(estimator_file("parameters", "random_state", with_generator(1, keys)))


@pytest.mark.parametrize("position", [625, 10**9, -1, 2**31 - 1, 10**400, "1", None])
def test_position_of_a_generator_beyond_its_keys(estimator_file, position):
    """NumPy takes any, and its next number is then read from there: a segmentation fault in the next fit."""
    refuse(estimator_file("parameters", "random_state", with_generator(2, position)))


def test_a_generator_at_the_end_of_its_keys_is_read(estimator_file):
    from chainrule.estimators import MLPClassifier

    path = estimator_file("parameters", "random_state", with_generator(2, 624))
    assert 0 <= MLPClassifier.load(path).random_state.random_sample() < 1


@pytest.mark.parametrize("name", ["out_activation_", "n_iter_", "loss_curve_", "_stops_early", "t_"])
def test_a_fitted_attribute_that_is_missing(estimator_file, name):
    """`AttributeError` left `predict` where `out_activation_` had another name."""
    path = estimator_file("fitted", name, None)
    refuse(path)

    def remove(description):
        del description["fitted"][name]
        return json.dumps(description)

    change_metadata(path, "chainrule.estimator", remove)
    refuse(path, f"'{name}' is missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("out_activation_", "softmax"),
        ("loss_curve_", 5),
        ("loss_curve_", ["a"]),
        ("n_iter_", -1),
        ("t_", 2**63),
        ("best_loss_", None),
        ("validation_scores_", []),
        ("feature_names_in_", 5),
        ("feature_names_in_", {"array": ["a"], "dtype": "|O"}),
        ("feature_names_in_", {"array": [1, 2], "dtype": "|O"}),
    ],
    ids=str,
)
def test_a_fitted_attribute_that_no_fit_leaves(estimator_file, name, value):
    refuse(estimator_file("fitted", name, value))


@pytest.mark.parametrize("dtype", ["<U99999999", "|S99999999", "|V999999999", "2000000000f4", "f8,i4"])
def test_an_array_of_elements_far_wider_than_its_texts(estimator_file, dtype):
    """Two labels of a few bytes took gigabytes; wide texts are now as wide as they need, other dtypes refused."""
    from chainrule.estimators import MLPClassifier

    path = estimator_file("fitted", "classes_", {"array": ["no", "yes"], "dtype": dtype})
    if "U" not in dtype:
        refuse(path)
    else:
        assert MLPClassifier.load(path).classes_.nbytes <= 2 * 4 * 256


@pytest.mark.parametrize(
    "dtype", ["(f8,i4)", "f8,(", "<M8[", "|O O", "<i3", "<f8[s]", "<U-1", "", None, 8, ["<f8"], "<U\u0663"]
)
def test_the_name_of_a_dtype_is_one_that_a_save_writes(estimator_file, dtype):
    """NumPy's own reader takes a text with a comma as Python, and raised a SyntaxError."""
    refuse(estimator_file("fitted", "classes_", {"array": ["no", "yes"], "dtype": dtype}))


@pytest.mark.parametrize(
    "classes",
    [np.array(["no", "yes"]), np.array([1, 2]), np.array(["2020", "2021"], "M8[ns]"), np.array([1, 2], "f2")],
)
def test_labels_of_every_dtype_that_is_kept_are_kept(classes):
    from chainrule.estimators.plain_values import from_plain, to_plain

    read = from_plain(json.loads(json.dumps(to_plain("classes_", classes))))
    np.testing.assert_array_equal(read, classes)
    assert read.dtype == classes.dtype


@pytest.mark.parametrize("mean", [10**400, -(10**400)], ids=["huge", "-huge"])
def test_a_number_of_a_table_beyond_floats(mean):
    with pytest.raises(ValueError, match="not the description of a table encoder"):
        TableEncoder.from_dict({"features": [], "target": {"name": "a", "mean": mean, "std": 1.0}})


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b'";3\nab",b\n1,2\n', (";3\nab", "b")),
        (b'"!",";"\n"",";"\n"","2"\n"?","a"\n', ("!", ";")),
    ],
    ids=["several lines", "quoted separator"],
)
def test_what_separates_columns_is_not_looked_for_within_quotes(content, names):
    """A name of several lines was cut at its first line's end, and its semicolon taken for what separates columns."""
    assert parse_table(content, "a.csv").names == names


def array_file(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_text_that_no_csv_file_holds():
    """Labels with NUL were read from an array, but not from the CSV file that they were written to."""
    content = array_file(np.array([["a\0b", "b"]], "S3"))
    with pytest.raises(ValueError, match="table.npy, column '0': not text, but with characters NUL"):
        parse_table(content, "table.npy")


def test_an_array_that_claims_terabytes():
    content = array_file(np.zeros(1, "<f4")).replace(b"(1,), }" + b" " * 12, b"(1000000000000,), }")
    assert b"(1000000000000,)" in content
    with pytest.raises(ValueError, match="is not a file of numpy.save: Unable to allocate"):
        parse_table(content, "table.npy")


def test_fields_within_fields():
    nested = np.array([(1.0, (2**31,))], [("a", "<f4"), ("b", [("c", "<u4")])]).view(
        [("a", "<f4"), ("b", [("c", "<U1")])]
    )
    with pytest.raises(ValueError, match="column 'b' has fields of its own"):
        parse_table(array_file(nested), "table.npy")


@pytest.mark.parametrize("array", [np.zeros(1, "S0"), np.zeros((3, 0)), np.zeros((1, 1), "S0")])
def test_an_array_of_no_bytes_may_claim_any_shape(array):
    content = array_file(array).replace(b"|S1", b"|S0")
    shape = repr(array.shape).encode()
    claimed = b"(1000000000000,)" if array.ndim == 1 else b"(0, 1000000000000)"
    content = content.replace(shape + b", }" + b" " * (len(claimed) - len(shape)), claimed + b", }")
    assert claimed in content
    with pytest.raises(ValueError, match=r"table\.npy.* (is empty|has no rows)"):
        parse_table(content, "table.npy")


@pytest.mark.parametrize("sizes", [["a"], [2.5], [None], [[3]], [True]])
def test_layers_that_are_no_numbers(sizes):
    pytest.importorskip("sklearn")
    from chainrule import MLPRegressor

    with pytest.raises(ValueError, match="hidden_layer_sizes must be integers, got"):
        MLPRegressor(hidden_layer_sizes=sizes).fit([[1.0], [2.0]], [1.0, 2.0])


def test_an_archive_of_other_things_than_arrays():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(ValueError, match=r"numpy\.savez: 'notes\.txt' is no array"):
        parse_table(file.getvalue(), "table.npz")


@pytest.mark.parametrize("name", ["tol", "max_iter", "max_fun", "alpha", "hidden_layer_sizes"])
def test_integers_beyond_64_bits(name):
    pytest.importorskip("sklearn")
    from chainrule import MLPRegressor

    value = (3, 10**400) if name == "hidden_layer_sizes" else 10**400
    with pytest.raises(ValueError, match=rf"{name} must be below 2\*\*63, got an integer of 1329 bits"):
        MLPRegressor(**{name: value}).fit([[1.0], [2.0]], [1.0, 2.0])


@pytest.mark.parametrize("names", [[["relu"]], [3], [None]])
def test_activations_that_are_no_names(names):
    pytest.importorskip("sklearn")
    from chainrule import MLPRegressor

    with pytest.raises(ValueError, match="activation must be a name, or a list of names, got "):
        MLPRegressor(hidden_layer_sizes=(2,), activation=names).fit([[1.0], [2.0]], [1.0, 2.0])
