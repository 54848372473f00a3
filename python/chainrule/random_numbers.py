"""Random numbers with the same bits on every platform: uniform, normal, and orthogonal matrices.

Their source is the raw 64-bit stream of Philox4x64-10 (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*,
2011), whose bits NumPy fixes, as it does not for its own distributions. What follows uses + - * / and square roots
alone, which IEEE 754 fixes, an element at a time, and sums in an order that is written here: a logarithm of the C
library, or a sum by NumPy or BLAS, has other last bits on another processor.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "normal", "normal_quantile", "orthogonal", "uniform"]

Numbers: TypeAlias = "NDArray[np.float64]"

#: Numbers that are worked on at a time. It fixes the sums, and so the bits, of large orthogonal matrices.
BLOCK = 2**15

LN_2 = 0.6931471805599453

#: Rational functions of Wichura's AS241 (PPND16), numerator and denominator, the highest power first.
CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def uniform(stream: np.random.Philox, count: int) -> Numbers:
    """Draw `count` numbers from [-1, 1), multiples of 2**-52."""
    raw = stream.random_raw(count)
    raw >>= np.uint64(11)
    numbers = raw.astype(np.float64)
    numbers *= 2.0**-52
    numbers -= 1.0
    return numbers


def normal(stream: np.random.Philox, count: int) -> Numbers:
    """Draw `count` numbers of mean 0 and standard deviation 1."""
    raw = stream.random_raw(count)
    raw >>= np.uint64(12)
    numbers = raw.astype(np.float64)
    # The centres of 2**52 equal parts of (0, 1), all of them exact, and symmetric about 1/2.
    numbers += 0.5
    numbers *= 2.0**-52
    return normal_quantile(numbers)


def normal_quantile(u: Numbers) -> Numbers:
    """Return the quantiles of the standard normal distribution, to about 1e-15 relative to their size.

    Parameters
    ----------
    u : ndarray of float64, flat
        Probabilities in (0, 1).

    References
    ----------
    Wichura, *Algorithm AS241: The percentage points of the normal distribution*, 1988.
    """
    q = u - 0.5
    # Of all, which is cheaper than to pick the middle ones; those of the tails, a sixth, are replaced.
    quantiles = q * _ratio(CENTRE, np.maximum(0.180625 - q * q, 0.0))
    outer = np.flatnonzero(np.abs(q) > 0.425)
    near_end = u[outer]
    quantiles[outer] = np.copysign(_tail_quantile(np.minimum(near_end, 1.0 - near_end)), q[outer])
    return quantiles


def orthogonal(stream: np.random.Philox, rows: int, columns: int) -> Numbers:
    """Draw a matrix of orthonormal columns, at most as many as rows, all such matrices being equally likely.

    The columns are made from the last to the first: a reflection takes those so far, which begin with a zero, into the
    complement of a unit vector of uniformly distributed direction, and that vector becomes the next.
    It takes time of order ``rows * columns**2``.

    References
    ----------
    Stewart, *The efficient generation of random orthogonal matrices with an application to condition estimators*, 1980.
    Mezzadri, *How to generate random matrices from the classical compact groups*, 2007, section 5, on the signs.
    """
    matrix = np.eye(rows, columns)
    for i in reversed(range(columns)):
        # v is scaled so that the reflection is I - v v^T. It takes e_1 to the direction x that was drawn, or to -x.
        v = normal(stream, rows - i)
        norm = math.sqrt(_sum_of_rows(v * v))
        sign = math.copysign(1.0, v[0])
        v[0] += sign * norm
        v /= math.sqrt(norm * abs(v[0]))
        _reflect(matrix[i:, i:], v)
        matrix[i:, i] *= -sign
    return matrix


def _tail_quantile(p: Numbers) -> Numbers:
    """Distance from the middle of the quantiles of small probabilities p."""
    r = np.sqrt(-_log(p))
    quantiles = _ratio(TAIL, r - 1.6)
    far = r > 5.0
    quantiles[far] = _ratio(FAR_TAIL, r[far] - 5.0)
    return quantiles


def _log(x: Numbers) -> Numbers:
    """Natural logarithm of normal numbers outside (1/2, 2): log(m 2^e) = e log 2 + 2 artanh((m - 1) / (m + 1))."""
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m[low] *= 2.0
    e[low] -= 1
    # |s| < 0.172, so that the first term left out is below 1e-17.
    s = (m - 1.0) / (m + 1.0)
    series = _polynomial([1.0 / k for k in range(19, 0, -2)], s * s)
    return e * LN_2 + 2.0 * s * series


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Numbers) -> Numbers:
    numerator, denominator = coefficients
    return _polynomial(numerator, x) / _polynomial(denominator, x)


def _polynomial(coefficients: tuple[float, ...] | list[float], x: Numbers) -> Numbers:
    """Horner's rule, the highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


def _reflect(matrix: Numbers, v: Numbers) -> None:
    """Subtract v v^T M from M in place."""
    rows = max(1, BLOCK // matrix.shape[1])
    parts = [slice(start, start + rows) for start in range(0, len(v), rows)]
    column = v[:, np.newaxis]
    products = np.zeros(matrix.shape[1])
    for part in parts:
        products += _sum_of_rows(matrix[part] * column[part])
    for part in parts:
        matrix[part] -= column[part] * products


def _sum_of_rows(terms: Numbers) -> Any:
    """Sum over the first axis, in an order of its own: the second half is added to the first. Overwrites `terms`."""
    count = len(terms)
    while count > 1:
        half = count // 2
        terms[:half] += terms[count - half : count]
        count -= half
    return terms[0]
