"""Activations in C, over the units of one row; the formulas are those of `chainrule.reference.activations`.

In these texts ``$name`` is what the names of a file begin with, ``$real`` the type of its numbers, and ``$f`` the end
of its constants and of the functions of ``<math.h>``.
"""

from __future__ import annotations

from ..reference.activations import LEAK, SELU_ALPHA, SELU_SCALE, TWICE_CUBIC, TWICE_LINEAR

__all__ = ["c_functions"]

BEND = f"h * ({TWICE_LINEAR!r}$f + {TWICE_CUBIC!r}$f * h * h)"
SOFTPLUS = "(h < 0.0$f ? 0.0$f : h) + log1p$f(exp$f(-fabs$f(h)))"

#: Of one number h; finite wherever the activation is, and NaN where h is.
FORMULAS = {
    "sigmoid": "${name}_logistic(h)",
    "hard_sigmoid": "h < -3.0$f ? 0.0$f : h > 3.0$f ? 1.0$f : (h + 3.0$f) / 6.0$f",
    "tanh": "tanh$f(h)",
    "relu": "h < 0.0$f ? 0.0$f : h",
    "leaky_relu": f"h < 0.0$f ? {LEAK!r}$f * h : h",
    "elu": "h < 0.0$f ? expm1$f(h) : h",
    "selu": f"{SELU_SCALE!r}$f * (h < 0.0$f ? {SELU_ALPHA!r}$f * expm1$f(h) : h)",
    "gelu": "0.5$f * h * erfc$f(-0.7071067811865476$f * h)",
    "gelu_tanh": f"h * ${{name}}_logistic({BEND})",
    "silu": "h * ${name}_logistic(h)",
    "mish": f"h * tanh$f({SOFTPLUS})",
    "softplus": SOFTPLUS,
    "softsign": "h / (1.0$f + fabs$f(h))",
    "exp": "exp$f(h)",
}

LOGISTIC = """\
static $real ${name}_logistic($real h) {
  const $real e = exp$f(-fabs$f(h));
  return h < 0.0$f ? e / (1.0$f + e) : 1.0$f / (1.0$f + e);
}
"""

#: Any activation that acts on each unit alone.
UNITS = """\
static void ${name}_ACTIVATION($real *a, int units) {
  int j;
  for (j = 0; j < units; ++j) {
    const $real h = a[j];
    a[j] = FORMULA;
  }
}
"""

SOFTMAX = """\
static void ${name}_softmax($real *a, int units) {
  $real largest = a[0], sum = 0.0$f;
  int j;
  for (j = 1; j < units; ++j) {
    if (a[j] > largest) largest = a[j];
  }
  for (j = 0; j < units; ++j) {
    a[j] = exp$f(a[j] - largest);
    sum += a[j];
  }
  for (j = 0; j < units; ++j) a[j] /= sum;
}
"""


def c_functions(activations: set[str]) -> list[str]:
    """Return the functions that compute these activations in place, as ``$name_activation(a, units)``."""
    formulas = {name: formula for name, formula in FORMULAS.items() if name in activations}
    code = [LOGISTIC] if any("_logistic" in formula for formula in formulas.values()) else []
    code += [UNITS.replace("ACTIVATION", name).replace("FORMULA", formula) for name, formula in formulas.items()]
    return [*code, SOFTMAX] if "softmax" in activations else code
