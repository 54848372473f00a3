"""The minimax polynomials of cpp/kernels/math.inl, found anew by Remez's exchange; needs mpmath.

Each line names a table of `Format`, the largest error in units of half an ulp of 1, and the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import atanh, cos, erfc, exp, expm1, log, lu_solve, matrix, mp, mpf, nstr, pi, sqrt, tanh

mp.dps = 60
GRID = 2000
Function = Callable[[mpf], mpf]


def remez(f: Function, weight: Function, low: mpf, high: mpf, degree: int) -> tuple[list[mpf], mpf]:
    """Return the polynomial whose largest weighted error on [low, high] is least, and that error."""
    count = degree + 2
    nodes = [(low + high) / 2 - (high - low) / 2 * cos(pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    grid = [low + (high - low) * k / GRID for k in range(GRID + 1)]
    while True:
        system = matrix(count, count)
        for i, x in enumerate(nodes):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, degree + 1] = (-1) ** i / weight(x)
        coefficients = list(lu_solve(system, matrix([f(x) for x in nodes])))[: degree + 1]
        errors = [weight(x) * (polynomial(coefficients, x) - f(x)) for x in grid]
        extrema = alternating_extrema(errors)
        while len(extrema) > count:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        largest = max(abs(error) for error in errors)
        if len(extrema) < count or largest < 1.001 * min(abs(errors[k]) for k in extrema):
            return coefficients, largest
        nodes = [grid[k] for k in extrema]


def polynomial(coefficients: list[mpf], x: mpf) -> mpf:
    """Return the value at x, lowest order first."""
    return sum(c * x**j for j, c in enumerate(coefficients))


def alternating_extrema(errors: list[mpf]) -> list[int]:
    """Return where the error is largest between its changes of sign."""
    extrema: list[int] = []
    start = 0
    for k in range(1, len(errors) + 1):
        if k == len(errors) or (errors[k] > 0) != (errors[k - 1] > 0):
            extrema.append(max(range(start, k), key=lambda i: abs(errors[i])))
            start = k
    return extrema


def exp_tail(r: mpf) -> mpf:
    """(e^r - 1 - r) / r^2."""
    return (expm1(r) - r) / r**2 if r else mpf(1) / 2


def log_tail(w: mpf) -> mpf:
    """(2 atanh(s) / s - 2) / s^2 for s^2 = w."""
    return 2 * (atanh(sqrt(w)) / sqrt(w) - 1) / w if w > mpf("1e-12") else mpf(2) / 3 + 2 * w / 5


def tanh_tail(w: mpf) -> mpf:
    """(tanh(r) / r - 1) / r^2 for r^2 = w."""
    return (tanh(sqrt(w)) / sqrt(w) - 1) / w if w > mpf("1e-12") else -mpf(1) / 3 + 2 * w / 15


def scaled_erfc(t: mpf, center: int) -> mpf:
    """e^(z^2) erfc(z) (1 + 2 z) of z = center (1 + t) / (1 - t), as Shepherd and Laframboise, 1981, expand it."""
    z = center * (1 + t) / (1 - t)
    return exp(z * z) * erfc(z) * (1 + 2 * z)


def scaled_erfc_fit(center: int, largest: int, degree: int) -> tuple[list[mpf], mpf]:
    """Fit it for z from 0 to `largest`, by its relative error."""
    end = mpf(largest - center) / (largest + center)
    return remez(lambda t: scaled_erfc(t, center), lambda t: 1 / scaled_erfc(t, center), mpf(-1), end, degree)


def main() -> None:
    """Print every table."""
    ln2_half = log(2) / 2 * mpf("1.0001")
    log_end = ((sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1) * mpf("1.0001")) ** 2
    tiny = mpf("1e-20")
    for dtype, bits, exp_degree, log_degree, tanh_degree, erfc_arguments in (
        ("float", 24, 5, 2, 2, (2, 10, 9)),
        ("double", 53, 10, 6, 6, (3, 28, 23)),
    ):
        for name, table in (
            ("exp_tail", remez(exp_tail, lambda r: abs(r) + tiny, -ln2_half, ln2_half, exp_degree)),
            ("log_tail", remez(log_tail, lambda w: w / 2 + tiny, mpf(0), log_end, log_degree)),
            ("tanh_tail", remez(tanh_tail, lambda w: w + tiny, mpf(0), (ln2_half * 3 / 4) ** 2, tanh_degree)),
            ("erfc_tail", scaled_erfc_fit(*erfc_arguments)),
        ):
            print(dtype, name, nstr(table[1] * 2**bits, 3), [nstr(c, 22) for c in table[0]])


if __name__ == "__main__":
    main()
