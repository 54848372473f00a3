"""A net as one file of C99 that is C++ too: weights as constants, and a function that predicts one row."""

from __future__ import annotations

import re
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .c_activations import c_functions

if TYPE_CHECKING:
    from ..config import NetConfig
    from ..exchange import Exchangeable

__all__ = ["check_name", "to_c_source"]

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

#: Digits that tell every number of a dtype from its neighbours.
DIGITS = {"float32": 9, "float64": 17}
NUMBERS_A_LINE = 6

HEADER = """\
/* The network $layers of chainrule $version, as C99 or C++ that needs no other file.

   ${name}_predict computes the outputs y, ${NAME}_OUTPUTS numbers, of one row of inputs x, ${NAME}_FEATURES numbers,
   which must not overlap. It allocates and keeps nothing, may run in many threads at once, and takes $stack bytes of
   the stack for hidden units. Other files declare it as is done below. */

#include <math.h>

#define ${NAME}_FEATURES $features
#define ${NAME}_OUTPUTS $outputs

#ifdef __cplusplus
extern "C"
#endif
void ${name}_predict(const $real *x, $real *y);
"""

#: Goes through the weights as they lie, a row for each input.
DENSE = """\
static void ${name}_dense(const $real *x, int inputs, $real *a, int units, const $real *weights$biases) {
  int i, j;
  for (j = 0; j < units; ++j) a[j] = $bias;
  for (i = 0; i < inputs; ++i, weights += units) {
    for (j = 0; j < units; ++j) a[j] += x[i] * weights[j];
  }
}
"""


def check_name(name: str) -> None:
    """Raise TypeError or ValueError where names in C cannot begin with it."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(f"name must be letters, digits and underscores, a letter first, as in C; got {name!r}")


def to_c_source(net: Exchangeable, name: str) -> str:
    """Return the text of the file; see `Net.to_c`."""
    from .. import __version__

    check_name(name)
    config = net.config
    single = config.dtype == "float32"
    words = {
        "name": name,
        "NAME": name.upper(),
        "real": "float" if single else "double",
        "f": "f" if single else "",
        "version": __version__,
        "layers": "-".join(map(str, config.sizes)),
        "features": str(config.features),
        "outputs": str(config.outputs),
        "stack": str(sum(_buffers(config)) * np.dtype(config.dtype).itemsize),
        "biases": ", const $real *biases".replace("$real", "float" if single else "double") if config.bias else "",
        "bias": "biases[j]" if config.bias else "0.0" + "f" * single,
    }
    functions = [DENSE, *c_functions(set(config.activations)), _predict(config)]
    header, *functions = (Template(text).substitute(words) for text in (HEADER, *functions))
    return "\n".join([header, *_constants(net, words), *functions])


def _buffers(config: NetConfig) -> tuple[int, int]:
    """Units that the two buffers have to hold, which hidden layers use in turn."""
    hidden = config.sizes[1:-1]
    return max(hidden[::2], default=0), max(hidden[1::2], default=0)


def _predict(config: NetConfig) -> str:
    """Return the function that goes through the layers."""
    sizes = [f"{buffer}[{units}]" for buffer, units in zip("ab", _buffers(config), strict=True) if units]
    lines = [f"  $real {', '.join(sizes)};"] if sizes else []
    last, final = "x", len(config.activations) - 1
    for layer, ((inputs, units), activation) in enumerate(zip(config.layer_shapes, config.activations, strict=True)):
        to = "y" if layer == final else "ab"[layer % 2]
        biases = f", ${{name}}_biases_{layer}" if config.bias else ""
        lines.append(f"  ${{name}}_dense({last}, {inputs}, {to}, {units}, ${{name}}_weights_{layer}{biases});")
        if activation != "identity":
            lines.append(f"  ${{name}}_{activation}({to}, {units});")
        last = to
    return "\n".join(["void ${name}_predict(const $real *x, $real *y) {", *lines, "}", ""])


def _constants(net: Exchangeable, words: dict[str, str]) -> list[str]:
    code = []
    for kind, arrays in (("weights", net.weights), ("biases", net.biases)):
        for layer, array in enumerate(arrays):
            if not np.isfinite(array).all():
                raise ValueError(f"{kind}[{layer}] must be finite: C has no constants for other numbers")
            start = f"static const {words['real']} {words['name']}_{kind}_{layer}[{array.size}] = {{"
            code.append("\n".join([start, *_lines(array, words["f"]), "};", ""]))
    return code


def _lines(array: NDArray[Any], suffix: str) -> list[str]:
    digits = DIGITS[array.dtype.name]
    numbers = [_constant(f"{value:.{digits}g}") + suffix for value in array.ravel().tolist()]
    starts = range(0, len(numbers), NUMBERS_A_LINE)
    return [f"  {', '.join(numbers[start : start + NUMBERS_A_LINE])}," for start in starts]


def _constant(number: str) -> str:
    """Return the number as a floating constant, which an integer's digits alone are not."""
    return number if "." in number or "e" in number else f"{number}.0"
