"""The targets of the fuzzer on their seed corpus, without the fuzzer; and that they would notice a fault."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

FUZZ = Path(__file__).parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))

import fuzz_csv_reader  # noqa: E402
import fuzz_model_loader  # noqa: E402
from mutations import mutate_model  # noqa: E402

TARGETS = {"model": fuzz_model_loader, "csv": fuzz_csv_reader}
SEEDS = {kind: sorted((FUZZ / "corpus" / kind).iterdir()) for kind in TARGETS}


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind in SEEDS for path in SEEDS[kind]],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_seed_passes(kind, path):
    TARGETS[kind].test_one_input(path.read_bytes())


@pytest.mark.parametrize("kind", TARGETS)
def test_damaged_seeds_pass(kind):
    draw = random.Random(0)
    for _ in range(100):
        content = bytearray(draw.choice(SEEDS[kind]).read_bytes())
        for _ in range(draw.randrange(4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        TARGETS[kind].test_one_input(bytes(content[: draw.randrange(2 * len(content))]))


def test_changed_descriptions_pass():
    """What the fuzzer does with a model file, a few times."""
    for seed in range(100):
        path = SEEDS["model"][seed % len(SEEDS["model"])]
        changed = mutate_model(path.read_bytes(), 1 << 14, seed, lambda content, size: content[:size])
        fuzz_model_loader.test_one_input(changed)


def test_a_changed_model_is_mostly_still_a_file_of_its_kind():
    content = SEEDS["model"][0].read_bytes()
    headers = 0
    for seed in range(50):
        changed = mutate_model(content, 1 << 14, seed, lambda content, size: content[:size])
        length = int.from_bytes(changed[:8], "little")
        headers += isinstance(json.loads(changed[8 : 8 + length]), dict)
        assert changed == mutate_model(content, 1 << 14, seed, lambda content, size: content[:size])
    assert headers == 50


@pytest.mark.parametrize("error", [KeyError("a"), OverflowError(), AssertionError(), MemoryError()], ids=repr)
def test_what_no_reader_may_raise_is_noticed(error, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(fuzz_model_loader.Net, "load", fail)
    monkeypatch.setattr(fuzz_csv_reader, "parse_table", fail)
    for target in TARGETS.values():
        with pytest.raises(type(error)):
            target.test_one_input(b"a,b\n1,2\n")
