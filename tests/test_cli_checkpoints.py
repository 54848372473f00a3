"""``chainrule train --checkpoint``: the same command goes on where it was killed, or interrupted."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from chainrule import Net
from chainrule.checkpoints import Checkpoint
from chainrule.cli import main

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

RUN = ["train", "--quiet", "--epochs", "1000", "--patience", "none", "--hidden", "64", "--dropout", "0.1"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
def test_a_run_goes_on_after_a_kill_and_after_ctrl_c(tmp_path):
    kept = ["--checkpoint", "run.safetensors", "--every", "5"]
    for number in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-m", "chainrule", *RUN, *kept], stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        before = Net.load("run.safetensors").epochs_trained if os.path.exists("run.safetensors") else 0
        while not os.path.exists("run.safetensors") or Net.load("run.safetensors").epochs_trained <= before:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert "to go on from run.safetensors, give the same command with --force" in errors
    assert 0 < Net.load("run.safetensors").epochs_trained < 1000
    assert main([*RUN, *kept[:2], "--every", "400", "--force"]) == 0
    net = Net.load("penguins.safetensors")
    assert main([*RUN, "--force"]) == 0
    np.testing.assert_array_equal(net.parameters, Net.load("penguins.safetensors").parameters)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "5"], "--every is for --checkpoint FILE"),
        (["--checkpoint", "-"], "--checkpoint is a file, not standard output"),
        (["--checkpoint", "penguins.safetensors"], "--checkpoint names the file of another output"),
        (["--checkpoint", "a", "--every", "0"], "must be at least 1"),
    ],
)
def test_wrong_usage(capsys, words, message):
    assert main(["train", "--quiet", "--epochs", "1", *words]) == 2
    assert message in capsys.readouterr().err


def test_another_run_is_one_line(capsys):
    assert main(["train", "--quiet", "--epochs", "2", "--checkpoint", "run.safetensors"]) == 0
    assert main(["train", "--quiet", "--force", "--epochs", "3", "--checkpoint", "run.safetensors"]) == 1
    errors = capsys.readouterr().err
    assert "epochs is 3, there 2" in errors
    assert errors.count("\n") == 1
    assert main(["train", "--quiet", "--force", "--epochs", "2", "--checkpoint", "no/folder"]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_does_not_cost_the_model(capsys, monkeypatch):
    """What was learned is in the model's own file."""

    def write(self, *arguments, finished=False, **others):
        if self._net.epochs_trained == 3:
            raise OSError(errno.ENOSPC, "No space left on device", "run.safetensors")
        written(self, *arguments, finished=finished, **others)

    written = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", write)
    assert main(["train", "--quiet", "--epochs", "9", "--checkpoint", "run.safetensors"]) == 1
    errors = capsys.readouterr().err
    assert "run.safetensors: No space left on device" in errors
    assert "the network as it was before that is in penguins.safetensors" in errors
    assert Net.load("penguins.safetensors").epochs_trained == 3
