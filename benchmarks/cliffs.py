"""Looks for cliffs: nets of odd shapes that take longer than their round neighbours let expect.

A net's time is compared with that of its neighbour, whose widths and minibatch are the next powers of two, times the
quotient of their floating-point operations. Run it from the project's root, pinned to one core:
``taskset -c 0 python benchmarks/cliffs.py --nets 40 --seed 1``. It prints the worst nets and their quotients; above
1.5 is a cliff.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from typing import NamedTuple

from chainrule import Net
from chainrule.bench.cases import Case, create_case, data
from chainrule.bench.clock import Run, repetitions, time_of

WIDTHS = (1, 2, 3, 5, 7, 8, 10, 16, 17, 24, 31, 33, 48, 64, 65, 100, 127, 129, 200, 257)
BATCHES = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100, 128, 200, 256, 257, 1000, 1024, 4095, 4096)
MOST_LAYERS = 8
ROUNDS = 3


class Quotient(NamedTuple):
    """One net beside its round neighbour."""

    quotient: float
    case: Case
    neighbour: Case
    microseconds: float


def main() -> None:
    """Draw nets, compare each with its neighbour, and print the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.02, help="per measurement")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--worst", type=int, default=12, help="how many nets to print")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    found = [compare(draw(generator), options.dtype, options.seconds) for _ in range(options.nets)]
    found.sort(key=lambda each: each.quotient, reverse=True)
    for quotient, case, neighbour, microseconds in found[: options.worst]:
        print(f"{quotient:5.2f}  {case.name:60}  {microseconds:10.2f} us  beside {neighbour.name}")
    print(f"{sum(quotient > 1.5 for quotient, *_ in found)} of {len(found)} nets above 1.5")


def draw(generator: random.Random) -> Case:
    """Return a net of one to eight layers, mostly of odd widths, every third with one output."""
    layers = generator.randint(1, MOST_LAYERS)
    sizes = [generator.choice(WIDTHS) for _ in range(layers + 1)]
    if generator.random() < 1 / 3:
        sizes[-1] = 1
    hidden = generator.choice(("relu", "tanh"))
    return create_case(tuple(sizes), hidden, batch_size=generator.choice(BATCHES))


def neighbour_of(case: Case) -> Case:
    """Return the net with the nearest power of two in place of each width, and of the minibatch."""
    sizes = tuple(nearest_power(size) for size in case.sizes)
    round_case = create_case(sizes, case.hidden, batch_size=nearest_power(case.batch_size))
    return replace(round_case, optimizer=case.optimizer)


def nearest_power(number: int) -> int:
    """Return the power of two with the least quotient to `number`."""
    below = 1 << (number.bit_length() - 1)
    return below if number * number <= 2 * below * below else 2 * below


def compare(case: Case, dtype: str, seconds: float) -> Quotient:
    """Time both nets in turn; the best of some rounds counts."""
    neighbour = neighbour_of(case)
    steps = {case: stepper(case, dtype), neighbour: stepper(neighbour, dtype)}
    counts = {each: repetitions(run, seconds) for each, run in steps.items()}
    times = {each: [time_of(steps[each], counts[each]) for _ in range(ROUNDS)] for each in steps}
    best = {each: min(times[each]) / counts[each] / epoch_of(each) for each in steps}
    expected = best[neighbour] * case.flops_per_step / neighbour.flops_per_step
    return Quotient(best[case] / expected, case, neighbour, best[case] * 1e6)


def epoch_of(case: Case) -> int:
    """Minibatches in an epoch: enough that what a call of `fit` costs by itself is not seen."""
    return max(2, 4096 // case.batch_size)


def stepper(case: Case, dtype: str) -> Run:
    """Return a function that runs that many epochs."""
    net = Net(case.sizes, hidden=case.hidden, output=case.output, loss=case.loss, dtype=dtype, seed=0, threads=1)
    X, Y = data(case, dtype, epoch_of(case))
    return lambda count: net.fit(
        X, Y, epochs=count, batch_size=case.batch_size, optimizer=case.optimizer, shuffle=False
    )


if __name__ == "__main__":
    main()
