"""Reads a printed derivation as a person would: its equations are found on the page and evaluated.

It knows nothing of the objects that wrote the page, so a wrong formula, a missing
parenthesis or a wrong index range shows up as a number that is not the net's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS = 4
TOKEN = re.compile(
    r"\s*(d\w+?(?:\[[^\]]*\])?/d\w+(?:\[[^\]]*\])?"  # a partial derivative
    r"|\.\*|\./|\^T|\^\d+|sum_[a-z]|[A-Za-z_]\w*(?:\[[^\]]*\])?|\d+(?:\.\d+)?(?:e-?\d+)?"
    r"|<=|>=|[-+*/()\[\]<=>,])"
)
RANGES = r"(?:[ijklm] = 1\.\.\w+(?:, )?)+"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "Phi": np.vectorize(lambda h: (1 + math.erf(h / math.sqrt(2))) / 2, otypes=[float]),
    "phi": lambda h: np.exp(-h * h / 2) / math.sqrt(2 * math.pi),
    "sigmoid": lambda h: 1 / (1 + np.exp(-h)),
    "hard_sigmoid": lambda h: np.clip((h + 3) / 6, 0, 1),
    "relu": lambda h: np.maximum(h, 0),
    "leaky_relu": lambda h: np.maximum(h, 0) + np.minimum(h, 0) / 100,
    "elu": lambda h: np.maximum(h, 0) + np.minimum(np.expm1(h), 0),
    "selu": lambda h: 1.0507009873554805 * np.maximum(h, 0) + 1.7580993408473766 * np.minimum(np.expm1(h), 0),
    "gelu": lambda h: h * FUNCTIONS["Phi"](h),
    "gelu_tanh": lambda h: 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h * h * h))),
    "silu": lambda h: h * FUNCTIONS["sigmoid"](h),
    "mish": lambda h: h * np.tanh(np.log1p(np.exp(h))),
    "softplus": lambda h: np.log1p(np.exp(h)),
    "softsign": lambda h: h / (1 + np.abs(h)),
    "softmax": lambda h: np.exp(h) / np.exp(h).sum(axis=1, keepdims=True),
    "rowsum": lambda a: a.sum(axis=1, keepdims=True),
    "colsum": lambda a: a.sum(axis=0),
    "repeat": lambda a, times: np.repeat(a, times, axis=1),
}
RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Formula:
    """A right-hand side as printed, translated to Python by recursive descent over its tokens."""

    def __init__(self, text: str, values: dict[str, Any], sizes: dict[str, int]) -> None:
        self.rest = TOKEN.findall(text)
        assert re.sub(r"\s", "", "".join(self.rest)) == re.sub(r"\s", "", text)
        self.source = self.sum()
        assert not self.rest, f"not understood: {self.rest} of {text}"
        tools = {"times": times, "bracket": bracket, "total": sum, "looked_up": looked_up, "array": np.array}
        self.names = {**FUNCTIONS, **tools, "values": values, "sizes": sizes}

    def value(self, at: dict[str, int]) -> Any:
        return eval(self.source, {**self.names, **at})

    def sum(self) -> str:
        source = self.product()
        while self.rest and self.rest[0] in "+-":
            source += f" {self.rest.pop(0)} {self.product()}"
        return f"({source})"

    def product(self) -> str:
        negative = self.rest[0] == "-" and self.rest.pop(0)
        source = self.factor()
        while self.rest and self.rest[0] not in ("+", "-", ")", "]", ",", *RELATIONS):
            sign = self.rest.pop(0) if self.rest[0] in (".*", "./", "/") else " "
            source = f"times({source}, {sign!r}, {self.factor()})"
        return f"(-{source})" if negative else source

    def factor(self) -> str:
        source = self.operand(self.rest.pop(0))
        while self.rest and self.rest[0].startswith("^"):
            power = self.rest.pop(0)[1:]
            source += ".T" if power == "T" else f"**{power}"
        return source

    def operand(self, token: str) -> str:
        if token.startswith("sum_"):
            letter = token.removeprefix("sum_")
            return f"total({self.product()} for {letter} in range(sizes[{letter!r}]))"
        if token == "(":
            listed = self.listed()
            return f"array([{', '.join(listed)}])" if len(listed) > 1 else listed[0]
        if token == "[":
            return f"bracket({self.sum()}, {self.rest.pop(0)!r}, {self.sum()}){self.closing(']')}"
        if token in FUNCTIONS:
            assert self.rest.pop(0) == "("
            return f"{token}({', '.join(self.listed())})"
        if token[0].isdigit() or token in "ijklm":
            return token
        if token == "pi":
            return repr(math.pi)
        name, labels = read_symbol(token)
        return f"looked_up(values[{name!r}], ({''.join(f'{place(label)},' for label in labels)}))"

    def listed(self) -> list[str]:
        terms = [self.sum()]
        while self.rest[0] == ",":
            self.rest.pop(0)
            terms.append(self.sum())
        self.closing(")")
        return terms

    def closing(self, bracket: str) -> str:
        assert self.rest.pop(0) == bracket
        return ""


def times(left: Any, sign: str, right: Any) -> Any:
    if sign == " ":
        return left @ right if np.ndim(left) == np.ndim(right) == 2 else left * right
    return left * right if sign == ".*" else left / right


def bracket(left: Any, relation: str, right: Any) -> Any:
    return np.where(RELATIONS[relation](left, right), 1.0, 0.0)


def looked_up(value: Any, positions: tuple[int, ...]) -> Any:
    """Return an array, its entry, or a derivative of entries, which are kept in a dict by all their positions."""
    if positions:
        return value[positions]
    if not isinstance(value, dict):
        return value
    array = np.empty((ROWS, 1 + max(key[1] for key in value)))
    for key, entry in value.items():
        array[key[:2]] = entry
    return array


def read_symbol(token: str) -> tuple[str, list[str]]:
    """Split dO[i,m]/dZ[i,l] into its name dO/dZ and all its indices i, m, i, l."""
    labels = [label for inside in re.findall(r"\[([^\]]*)\]", token) for label in inside.split(",")]
    return re.sub(r"\[[^\]]*\]", "", token), labels


def place(label: str) -> str:
    """Return the position from 0 of an index, or of the group ceil(l/3) that it is in."""
    if grouped := re.fullmatch(r"ceil\((\w)/(\d+)\)", label):
        return f"{grouped[1]} // {grouped[2]}"
    return "0" if label == "1" else label


@dataclass
class Equation:
    left: str
    rights: list[str]
    sizes: dict[str, int]


def read_page(page: str) -> Iterator[Equation]:
    """Read the equations of a page: broken lines joined, reasons dropped, ranges kept."""
    for section in re.split(r"\n\n\d+\. .*\n", page)[1:]:
        margin = re.match(r"  \S+\s+(=|<-) ", section).start(1)
        equations: list[Equation] = []
        for line in section.splitlines():
            body = re.sub(rf"\s{{3,}}{RANGES}$", "", line)
            if left := body[:margin].strip():
                equations.append(Equation(left, [], {}))
            if re.match(r"= |<- ", body[margin:]):
                equations[-1].rights.append(body[margin + 2 :])
            elif body.strip():
                equations[-1].rights[-1] += "   " + body.strip()
            ranges = re.findall(r"(\w) = 1\.\.(\w+)", line[len(body) :])
            equations[-1].sizes |= {letter: ROWS if size == "N" else int(size) for letter, size in ranges}
        for equation in equations:
            equation.rights = [re.sub(r"\s{3}\((.* cancels|each row.*)\)$", "", right) for right in equation.rights]
            yield equation
