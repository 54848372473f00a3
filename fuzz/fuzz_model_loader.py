"""Any bytes as a model file: refused with `ModelFormatError`, or a net or an estimator that predicts and trains on.

Run with libFuzzer's arguments, such as ``python fuzz/fuzz_model_loader.py -max_total_time=30 fuzz/corpus/model``.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from harness import instrumented, run
from mutations import mutate_model

with instrumented():
    import numpy as np

    import chainrule.checkpoints
    import chainrule.cli.predict
    import chainrule.core_fit
    import chainrule.files
    import chainrule.fitting
    import chainrule.rates
    from chainrule import ModelFormatError, Net
    from chainrule.estimators import MLPClassifier, MLPRegressor

ROWS = 4


def test_one_input(content: bytes) -> None:
    """Read bytes in every way in which a model file is read."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model"
        path.write_bytes(content)
        try:
            net = Net.load(path)
        except ModelFormatError:
            net = None
        if net is not None:
            _use_net(net)
        for estimator in (MLPClassifier, MLPRegressor):
            try:
                loaded = estimator.load(path)
            except ModelFormatError:
                continue
            _use_estimator(loaded)
        try:
            encoder = chainrule.cli.predict.read_encoder(path, chainrule.files.read_metadata(path))
        except ModelFormatError:
            return
        assert len(encoder.feature_names) >= 0 <= encoder.outputs


def _memory() -> str | None:
    """Return a folder in memory, where there is one: no disk is to wear out."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _use_net(net: Net) -> None:
    X = np.zeros((ROWS, net.config.features))
    assert net.predict(X).shape == (ROWS, net.config.outputs)
    assert repr(net)
    Y: Any = np.ones((ROWS, net.config.target_columns))
    if net.config.loss.name == "cross_entropy":
        Y = np.zeros(ROWS, dtype=int)
    with contextlib.suppress(ValueError):  # its numbers overflow, or its run was one of other rows
        net.fit(X, Y, epochs=1, batch_size=2)


def _use_estimator(estimator: Any) -> None:
    X = np.zeros((ROWS, estimator.n_features_in_))
    predicted = estimator.predict(X)
    assert predicted.shape[0] == ROWS  # which may be sparse, as the labels of a fit were
    for name in ("predict_proba", "predict_log_proba"):
        if hasattr(estimator, name):
            assert len(getattr(estimator, name)(X)) == ROWS
    assert repr(estimator)
    if re.search(r"\d{4}", str(estimator.hidden_layer_sizes)):
        return  # those of the next fit alone, which takes the memory for a thousand units if it is told to
    try:
        estimator.set_params(max_iter=1, max_fun=5, verbose=False).fit(X, predicted)
    except (ValueError, TypeError) as error:  # parameters that do not go together are seen with the next fit
        if isinstance(error, TypeError) and " must be " not in str(error):
            raise


def mutate(content: bytes, max_size: int, seed: int) -> bytes:
    """Return a changed model file, for libFuzzer."""
    import atheris

    return mutate_model(content, max_size, seed, atheris.Mutate)


if __name__ == "__main__":
    run(test_one_input, mutate)
