"""Ctrl-C before every line of Python that a fit with a checkpoint runs, and after every call of C that it makes there,
before the result has a name: what random moments meet once in a year.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import chainrule
from chainrule.run_identity import net_identity
from checkpoint_runs import CASES, differing

PACKAGE = str(Path(chainrule.__file__).parent)

#: Epochs of a run, and after how many the file is written.
EPOCHS, EVERY = 3, 2

#: From one place that is interrupted to the next; 1 is every place, which takes some minutes.
STEP = int(os.environ.get("CHAINRULE_LINES", "37"))


class InterruptedPlace:
    """Raise KeyboardInterrupt at one place of the package: before a line, or after a call of C, counted from 1."""

    def __init__(self, number):
        self.left = number

    def __enter__(self):
        self._before = sys.gettrace()  # what counts the lines that tests run
        sys.settrace(self._enter_function)
        sys.setprofile(self._see_call)

    def __exit__(self, *raised):
        sys.setprofile(None)
        sys.settrace(self._before)

    def _enter_function(self, frame, event, argument):
        return self._see_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _see_line(self, frame, event, argument):
        if event == "line":
            self._count()
        return self._see_line

    def _see_call(self, frame, event, argument):
        if event == "c_return" and frame.f_code.co_filename.startswith(PACKAGE):
            self._count()

    def _count(self):
        self.left -= 1
        if self.left == 0:
            sys.settrace(None)
            sys.setprofile(None)
            raise KeyboardInterrupt


def fit(net, case, path):
    _, X, Y, options = CASES[case]()
    return net, net.fit(X, Y, **options | {"epochs": EPOCHS, "every": EVERY, "checkpoint": path})


def interrupt(net, case, path, number):
    """Fit, with Ctrl-C at the place of this number; return whether there was one."""
    try:
        with InterruptedPlace(number):
            fit(net, case, path)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open files, left to their destructors
@pytest.mark.parametrize("left_by_another", [False, True], ids=["anew", "resumed"])
@pytest.mark.parametrize("case", [case for case in CASES if case != "wide"])  # whose lines are those of others
def test_ctrl_c_at_each_place(case, left_by_another, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time; power does not fail here
    first, path, copy = (str(tmp_path / name) for name in ("first", "run", "copy"))
    if left_by_another:
        _, X, Y, options = CASES[case]()
        with pytest.raises(KeyboardInterrupt):
            CASES[case]()[0].fit(X, Y, **options | {"epochs": EPOCHS, "checkpoint": first, "callback": press_ctrl_c})
    expected = fit(CASES[case]()[0], case, tmp_path / "expected")
    number = 1
    while True:
        if left_by_another:
            shutil.copy(first, path)
        net = CASES[case]()[0]
        if not interrupt(net, case, path, number):
            break
        if os.path.exists(path):
            shutil.copy(path, copy)
            assert not differing(fit(CASES[case]()[0], case, copy), expected), number
        else:
            assert net_identity(net) == net_identity(CASES[case]()[0]), number
        assert not differing(fit(net, case, path), expected), number
        for file in (path, copy):
            Path(file).unlink(missing_ok=True)
        number += STEP
    assert number > 500


def press_ctrl_c(state):
    if state.epoch == 2:
        raise KeyboardInterrupt
