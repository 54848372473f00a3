"""A small net, and inputs and targets for it."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from helpers import ROWS, draw, small_net

#: How many times as many examples the property tests try as they usually do; then they are new ones in every run.
MANY = os.environ.get("CHAINRULE_EXAMPLES")

# Under nohup, or in the background of a script, some signals are ignored, here and in every process started from here.
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

with contextlib.suppress(ModuleNotFoundError):  # their files need hypothesis, the others do not
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "chainrule",
        max_examples=max(1, round(10 * float(MANY or 1))),
        derandomize=MANY is None,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("chainrule")


@pytest.fixture
def net():
    return small_net()


@pytest.fixture
def X(net):
    return draw(net, ROWS)[0]


@pytest.fixture
def Y(net):
    return draw(net, ROWS)[1]
