"""scikit-learn's own tests of its multilayer perceptrons, run against ours: its file, with two names replaced."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from chainrule.estimators import MLPClassifier, MLPRegressor  # noqa: F401 - scikit-learn's tests use them

#: Tests that reach into private attributes of scikit-learn's classes, and which.
PRIVATE = {
    "test_gradient": "calls _loss_grad_lbfgs with scikit-learn's own buffers; test_estimators.py checks the objective",
}

SOURCE = Path(importlib.util.find_spec("sklearn.neural_network").origin).parent / "tests" / "test_mlp.py"
IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"

if not SOURCE.exists():
    pytest.skip("scikit-learn is installed without its tests", allow_module_level=True)

text = SOURCE.read_text(encoding="utf-8")
assert text.count(IMPORT) == 1, "scikit-learn's test file names its estimators in another way"
exec(compile(text.replace(IMPORT, "\n"), str(SOURCE), "exec"))

for name in PRIVATE:
    assert name in globals(), f"scikit-learn has no test {name} any more"
    del globals()[name]

# Its own configuration does not turn warnings into errors; that a fit has not converged is no news there.
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def global_random_seed():
    return 42
