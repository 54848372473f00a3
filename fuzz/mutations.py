"""Small changes of a model file that leave it a file of its kind: of its JSON, entry by entry, or of its numbers."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["mutate_model"]

#: The metadata whose values are JSON themselves.
NESTED = ("chainrule", "chainrule.estimator", "chainrule.run", "table")

#: Numbers at the edges of types and rules, and what is no number.
VALUES: list[Any] = [
    *(None, True, False, "", [], {}, 0, 1, 2, 3, -1, 0.5, 1.0, -0.0, 1e-320, 1e308, 1e400, -1e400, float("nan")),
    *(7, 8, 64, 255, 256, 623, 624, 625, 1000, 2**15, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63),
    *(2**64 - 1, 2**64, 10**30, 10**400, "0", "1e9", "\x00", "\ud800", "café", "a" * 300),
]

#: Words that the readers know.
KNOWN = """
F16 F32 F64 BF16 I8 I32 I64 U8 BOOL F8_E4M3 F8_E5M2 dtype shape data_offsets __metadata__ weights.0 weights.1 biases.0
biases.1 optimizer.0 optimizer.1 float16 float32 float64 identity sigmoid tanh relu leaky_relu gelu gelu_tanh silu mish
softplus exp softmax selu elu squared_error half_squared_error absolute_error huber(0.5) huber(nan) huber(1e400) huber
quantile(0.1,0.9) quantile() quantile log_cosh hinge poisson log_loss cross_entropy cross_entropy(0.1) mean sum sgd adam
adamw nadam rmsprop adagrad rprop lbfgs tuple dict array loss optimizer random_state constants MT19937 PCG64 <f8 <i8 >i4
|b1 |O O |S1 <U1 <U3 V8 <M8[s] <m8 c16 f2 S99999999 U99999999 V999999999 2000000000f4 f8,i4 plateau callable schedule
factor best bad lr rate binary multiclass multilabel-indicator logistic constant invscaling adaptive auto balanced
MLPClassifier MLPRegressor classes_ labels numeric name mean std features target feature_names_in_ n_outputs_ coefs_
sizes activations epoch_in_progress frozen dropout input_noise seed epochs_trained rule steps slots format callback
"""
WORDS = KNOWN.split()

Mutate = Callable[[bytes, int], bytes]


def mutate_model(content: bytes, max_size: int, seed: int, mutate_bytes: Mutate) -> bytes:
    """Return a changed file of at most `max_size` bytes; `mutate_bytes` changes what has no structure."""
    draw = random.Random(seed)
    header = _read_header(content)
    if header is None or draw.random() < 0.15:
        return mutate_bytes(content, max_size)
    begin = 8 + int.from_bytes(content[:8], "little")
    data = content[begin:]
    _drop_checksum(header)
    if draw.random() < 0.1:
        data = mutate_bytes(data, max_size - begin)
    else:
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            if header:
                _change_header(header, draw)
    text = json.dumps(header).encode()
    return (struct.pack("<Q", len(text)) + text + data)[:max_size]


def _read_header(content: bytes) -> dict[str, Any] | None:
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) and header and len(content) >= 8 + length else None


def _drop_checksum(header: dict[str, Any]) -> None:
    """Leave out what would refuse every change, whatever it is."""
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and isinstance(text := metadata.get("chainrule"), str):
        metadata["chainrule"] = re.sub(r', "checksum": "\w{8}"}\Z', "}", text)


def _change_header(header: dict[str, Any], draw: random.Random) -> None:
    """Change the header itself, or one of the JSON texts in its metadata."""
    metadata = header.get("__metadata__")
    nested = [key for key in NESTED if isinstance(metadata, dict) and isinstance(metadata.get(key), str)]
    if not nested or draw.random() < 0.15:
        _change(header, draw)
        return
    key = draw.choice(nested)
    try:
        tree = json.loads(metadata[key])
    except (ValueError, RecursionError):
        tree = {}
    if isinstance(tree, dict | list) and tree:
        _change(tree, draw)
        metadata[key] = json.dumps(tree)
    else:
        metadata[key] = json.dumps(draw.choice(VALUES))


def _change(tree: Any, draw: random.Random) -> None:
    """Change one entry somewhere in a tree of lists and objects, in place."""
    parent, key = _place(tree, draw)
    action = draw.randrange(8)
    if action == 0:
        del parent[key]
    elif action == 1:
        other, place = _place(tree, draw)
        parent[key] = json.loads(json.dumps(other[place]))
    elif action == 2 and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif action == 2:
        parent[draw.choice(WORDS)] = parent.pop(key)
    elif action == 3 and isinstance(parent[key], int | float):
        parent[key] = draw.choice((parent[key] + 1, parent[key] - 1, -parent[key], parent[key] * 2))
    elif action == 4:
        parent[key] = [parent[key]]
    elif action == 5:
        parent[key] = {draw.choice(WORDS): parent[key]}
    elif action == 6:
        parent[key] = draw.choice(WORDS)
    else:
        parent[key] = draw.choice(VALUES)


def _place(tree: Any, draw: random.Random) -> tuple[Any, Any]:
    """Return the container and the key of some entry; one of a long list is no likelier than its one neighbour."""
    key = draw.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    if isinstance(tree[key], dict | list) and tree[key] and draw.random() < 0.9:
        return _place(tree[key], draw)
    return tree, key
