"""scikit-learn's own tests of its multilayer perceptrons, run against ours: its file, with two names replaced.

Two of its tests pass by the luck of a seed, for its classes as for ours. They hold fits in float32 to fits in float64,
which drift apart as rounding flips a relu, and predictions near 0 have large relative errors. Share of fits that fail,
measured with scikit-learn 1.9.1 by giving the tests other seeds, theirs and ours:

- `test_mlp_regressor_dtypes_casting`, random_state 0 to 49: 3 and 1 of 50 (median error 2.3e-5 and 1.5e-5);
  random_state 1 as in the test, 100 other orders of the rows: 10 and 8 of 100 (median 7.7e-5 and 7.2e-5, worst 0.17
  and 0.008).
- `test_mlp_classifier_dtypes_casting`, random_state 0 to 49: 6 and 4 of 50.

So float32 loses no more here than there. Another order of the rows may make one of them fail; that is then no defect.
"""

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
