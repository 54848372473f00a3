"""What nets start from: numbers that are fixed to the last bit, of the distributions that their names promise."""

from __future__ import annotations

import tracemalloc
import zlib
from statistics import NormalDist

import numpy as np
import pytest

import chainrule
from chainrule import initializers, random_numbers, reference
from chainrule.config import NetConfig
from chainrule.initializers import INITIALIZERS, initial_weights, initialize
from chainrule.random_numbers import normal_quantile, orthogonal
from helpers import run_python

#: The first weights of a net [5, 3] with seed 1, and the CRC-32 of all the weights of a net [230, 300, 7]: the same on
#: every platform.
FIRST_NUMBERS = {
    "glorot_uniform": (
        ["-0x1.5c654a844fd68p-2", "0x1.353d0880f9734p-1", "-0x1.30f1707378673p-1", "-0x1.9fd1cb3554bc3p-1"],
        0x2BDB7A60,
    ),
    "he_uniform": (
        ["-0x1.b8b08565d720ap-2", "0x1.8728b9f5a88b0p-1", "-0x1.81b9d67cecc4cp-1", "-0x1.06fcc2ce61128p+0"],
        0x3F281CD1,
    ),
    "lecun_uniform": (
        ["-0x1.379d53bc1e9e4p-2", "0x1.14975bb8ab6cap-1", "-0x1.10bfd9ff64760p-1", "-0x1.73eb970c8fa15p-1"],
        0x3B9DD2D6,
    ),
    "glorot_normal": (
        ["-0x1.0740bdbfeba2ap-2", "0x1.07e9ca910c318p-1", "-0x1.02ae3eccf376ep-1", "-0x1.dd61edf146acbp-1"],
        0x30E68564,
    ),
    "he_normal": (
        ["-0x1.4cfdd2f145712p-2", "0x1.4dd3a84459127p-1", "-0x1.4735403384362p-1", "-0x1.2dec5890b7a8ep+0"],
        0xCECFE129,
    ),
    "lecun_normal": (
        ["-0x1.d6ebcce8d95c9p-3", "0x1.d81a34d547876p-2", "-0x1.cebdf426d0682p-2", "-0x1.aafbe248b1eaep-1"],
        0x37405E32,
    ),
    "orthogonal": (
        ["-0x1.acc86862897b8p-2", "0x1.6f982650822abp-3", "-0x1.33c497b68130fp-2", "-0x1.21ec8bb65460bp-3"],
        0x11149A44,
    ),
    "zeros": (
        ["0x0.0p+0", "0x0.0p+0", "0x0.0p+0", "0x0.0p+0"],
        0x4F4E0432,
    ),
}
NETS = [chainrule.Net, reference.Net]
NORMAL = NormalDist()


def weights_of(init, *sizes, seed=1):
    return initial_weights(NetConfig.create(sizes), init, seed)


def checksum(init):
    """CRC-32 of the weights of two layers, the first of more than one block."""
    crc = 0
    for weights in weights_of(init, 230, 300, 7):
        crc = zlib.crc32(weights.astype("<f8").tobytes(), crc)
    return crc


def test_every_name_has_its_numbers():
    assert FIRST_NUMBERS.keys() == INITIALIZERS.keys()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_bits_are_the_same_on_every_platform(name):
    first, crc = FIRST_NUMBERS[name]
    assert [number.hex() for number in weights_of(name, 5, 3)[0].ravel()[:4].tolist()] == first
    assert checksum(name) == crc


def test_the_bits_are_the_same_without_the_vector_instructions_that_numpy_chooses():
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("NumPy uses only the instructions that it was built for on this processor")
    script = "import test_initializers as t; print({name: t.checksum(name) for name in t.INITIALIZERS})"
    printed = run_python(script, NPY_DISABLE_CPU_FEATURES=" ".join(found)).stdout
    assert printed.strip() == str({name: crc for name, (_, crc) in FIRST_NUMBERS.items()})


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("make", NETS)
def test_nets_of_either_kind_and_dtype_have_these_numbers_rounded(make, name):
    expected = weights_of(name, 5, 30, 2, seed=7)
    for dtype in ("float64", "float32"):
        net = make([5, 30, 2], init=name, seed=7, dtype=dtype)
        for actual, weights in zip(net.weights, expected, strict=True):
            np.testing.assert_array_equal(actual, weights.astype(dtype), strict=True)
        assert not any(b.any() for b in net.biases)


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "zeros"])
def test_seeds_and_layers_differ(name):
    first, second = weights_of(name, 6, 6, 6)
    assert not np.isin(first, second).any()
    assert not np.isin(first, weights_of(name, 6, 6, seed=2)[0]).any()


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "orthogonal"])
def test_blocks_are_not_seen_in_the_numbers(name, monkeypatch):
    whole = weights_of(name, 30, 20, 10)
    monkeypatch.setattr(initializers, "BLOCK", 7)
    for parts, weights in zip(weights_of(name, 30, 20, 10), whole, strict=True):
        np.testing.assert_array_equal(parts, weights)


@pytest.mark.parametrize("name", ["glorot_uniform", "lecun_normal", "zeros"])
def test_initialising_a_large_layer_takes_little_memory(name):
    size = 4_000_000
    config, weights = NetConfig.create([1, size]), [np.empty((1, size), np.float32)]
    tracemalloc.start()
    try:
        initialize(config, name, 0, weights, [])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < weights[0].nbytes / 4


@pytest.mark.parametrize(
    ("rule", "variance"), [("glorot", 2 / (400 + 200)), ("he", 2 / 400), ("lecun", 1 / 400)], ids=str
)
@pytest.mark.parametrize(("kind", "fourth_moment", "eighth_moment"), [("uniform", 9 / 5, 9), ("normal", 3, 105)])
def test_moments(rule, variance, kind, fourth_moment, eighth_moment):
    z = weights_of(f"{rule}_{kind}", 400, 200)[0] / variance**0.5
    for power, expected, variance_of_power in [
        (1, 0, 1),
        (2, 1, fourth_moment - 1),
        (4, fourth_moment, eighth_moment - fourth_moment**2),
    ]:
        assert (z**power).mean() == pytest.approx(expected, abs=4 * (variance_of_power / z.size) ** 0.5)


def test_normal_numbers_have_the_normal_distribution_function():
    z = np.sort(weights_of("lecun_normal", 1, 20_000)[0].ravel())
    expected = [NORMAL.cdf(number) for number in z.tolist()]
    # The 99.9 % point of Kolmogorov and Smirnov's statistic.
    assert np.abs(np.arange(z.size) / z.size - expected).max() < 1.95 / z.size**0.5


@pytest.mark.parametrize(
    "u",
    [
        np.linspace(0, 1, 4097)[1:-1],
        np.linspace(0.0749, 0.0751, 101),
        np.linspace(1.2e-11, 1.6e-11, 101),
        2.0 ** -np.arange(1, 54),
        1 - 2.0 ** -np.arange(2, 54),
    ],
    ids=["everywhere", "where the tail begins", "where the far tail begins", "small", "near one"],
)
def test_normal_quantiles_are_those_of_as241(u):
    expected = [NORMAL.inv_cdf(p) for p in u.tolist()]
    np.testing.assert_allclose(normal_quantile(u), expected, rtol=1e-14, atol=0)


def test_normal_quantiles_are_symmetric():
    u = (np.random.default_rng(0).integers(0, 2**52, 10_000) + 0.5) * 2.0**-52
    np.testing.assert_array_equal(normal_quantile(1 - u), -normal_quantile(u))


@pytest.mark.parametrize("bits", [0, 2**64 - 1], ids=["all zero", "all one"])
def test_normal_numbers_are_finite_for_the_extreme_bits(bits):
    class Extreme:
        def random_raw(self, count):
            return np.full(count, bits, np.uint64)

    (number,) = random_numbers.normal(Extreme(), 1)
    assert abs(number) == pytest.approx(-NORMAL.inv_cdf(2.0**-53), rel=1e-14)


@pytest.mark.parametrize(
    ("fan_in", "fan_out"), [(1, 1), (1, 9), (9, 1), (2, 2), (64, 64), (256, 128), (128, 256), (2, 40_000)], ids=str
)
def test_orthogonal_rows_or_columns_are_orthonormal(fan_in, fan_out):
    W = weights_of("orthogonal", fan_in, fan_out)[0]
    products = W @ W.T if fan_in < fan_out else W.T @ W
    np.testing.assert_allclose(products, np.eye(min(fan_in, fan_out)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 3), (3, 2)], ids=str)
def test_orthogonal_matrices_are_equally_likely(rows, columns):
    """Each element has mean 0 and variance 1 / rows, and the products of two of them have mean 0."""
    draws = 1000
    elements = np.array([orthogonal(np.random.Philox(key=key), rows, columns).ravel() for key in range(draws)])
    tolerance = 5 / draws**0.5
    np.testing.assert_allclose(elements.mean(axis=0), 0, atol=tolerance / rows**0.5)
    np.testing.assert_allclose(elements.T @ elements / draws, np.eye(rows * columns) / rows, atol=tolerance / rows)


def test_a_callable_is_called_for_each_layer_with_one_generator():
    calls = []

    def init(fan_in, fan_out, random):
        calls.append((fan_in, fan_out, random))
        return random.standard_normal((fan_in, fan_out))

    net = chainrule.Net([3, 4, 2], init=init, seed=5, dtype="float64")
    assert [call[:2] for call in calls] == [(3, 4), (4, 2)]
    expected = np.random.Generator(np.random.Philox(key=5))
    for weights in net.weights:
        np.testing.assert_array_equal(weights, expected.standard_normal(weights.shape))
    assert not any(b.any() for b in net.biases)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_given_arrays_are_put_in_place(make, dtype):
    other = make([2, 3, 4], seed=3, dtype="float64")
    net = make([2, 3, 4], init=other.weights, dtype=dtype)
    np.testing.assert_array_equal(net.parameters, other.parameters.astype(dtype))


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("as_pair", [tuple, list])
@pytest.mark.parametrize(
    "as_array", [np.array, np.ndarray.tolist, np.asfortranarray], ids=["array", "lists", "fortran"]
)
def test_given_pairs_hold_biases_too(make, as_pair, as_array):
    source = make([2, 2, 4], seed=3, dtype="float64")
    source.parameters[:] = np.arange(source.parameters.size)
    pairs = [as_pair((as_array(W), as_array(b))) for W, b in zip(source.weights, source.biases, strict=True)]
    net = make([2, 2, 4], init=pairs, dtype="float64")
    np.testing.assert_array_equal(net.parameters, source.parameters)


def test_two_lists_of_two_numbers_are_a_matrix():
    net = chainrule.Net([2, 2], hidden=[], init=[[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(net.weights[0], [[1, 2], [3, 4]])
    assert not net.biases[0].any()


def test_given_arrays_are_copied():
    given = np.ones((2, 1))
    net = chainrule.Net([2, 1], hidden=[], init=[given], dtype="float64")
    given[:] = 7
    np.testing.assert_array_equal(net.weights[0], np.ones((2, 1)))


W1, W2 = np.ones((3, 4)), np.ones((4, 1))


@pytest.mark.parametrize(
    ("init", "error", "words"),
    [
        ("glorot", ValueError, ["init", "'glorot'", *INITIALIZERS]),
        (3, TypeError, ["init", "3", "callable", *INITIALIZERS]),
        (None, TypeError, ["init", "None"]),
        (b"zeros", TypeError, ["init", "b'zeros'"]),
        ([W1], ValueError, ["init", "1 entries", "2 layers"]),
        (W1, ValueError, ["init", "3 entries", "2 layers"]),
        ([W1, W2.T], ValueError, ["init", "weights[1]", "(4, 1)", "(1, 4)"]),
        ([W1, [1, 2, 3, 4]], ValueError, ["init", "weights[1]", "(4, 1)", "(4,)"]),
        ([W1, [[1], [2], [3, 4], [5]]], ValueError, ["init", "weights[1]", "(4, 1)", "several lengths"]),
        ([W1, W2 * 1j], TypeError, ["init", "weights[1]", "real", "complex128"]),
        ([W1, np.full((4, 1), "a")], TypeError, ["init", "weights[1]", "real"]),
        ([W1, W2 * np.nan], ValueError, ["init", "weights[1]", "finite"]),
        ([W1, W2 * 1e39], ValueError, ["init", "weights[1]", "finite in float32"]),
        ([W1, (W2, np.ones(2))], ValueError, ["init", "biases[1]", "(1,)", "(2,)"]),
        ([W1, (W2, [np.inf])], ValueError, ["init", "biases[1]", "finite"]),
        ([W1, (W2, None)], TypeError, ["init", "biases[1]", "real"]),
        (lambda fan_in, fan_out, random: None, TypeError, ["init", "weights[0]", "real"]),
        (lambda fan_in, fan_out, random: np.ones((fan_out, fan_in)), ValueError, ["init", "weights[0]", "(3, 4)"]),
        (lambda fan_in, fan_out, random: np.full((fan_in, fan_out), np.inf), ValueError, ["init", "weights[0]"]),
    ],
)
@pytest.mark.parametrize("make", NETS)
def test_what_does_not_fit_is_refused(make, init, error, words):
    with pytest.raises(error) as caught:
        make([3, 4, 1], init=init)
    for word in words:
        assert word in str(caught.value)


def test_numbers_that_only_float64_holds_are_taken_by_a_net_of_float64():
    net = chainrule.Net([1, 1], hidden=[], init=[[[1e39]]], dtype="float64")
    assert net.weights[0] == 1e39


def test_biases_are_refused_by_a_net_without_them():
    with pytest.raises(ValueError, match=r"init gives biases\[0\].*bias=False"):
        chainrule.Net([4, 1], hidden=[], init=[(W2, [0.0])], bias=False)
    assert chainrule.Net([4, 1], hidden=[], init=[W2], bias=False).parameters.all()
