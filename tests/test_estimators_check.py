"""scikit-learn's checks of what an estimator has to do, all of them."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import estimator_checks_generator

from chainrule.estimators import MLPClassifier, MLPRegressor

CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}-{number}")
    for model in (MLPClassifier(max_iter=100), MLPRegressor(max_iter=100))
    for number, (estimator, check) in enumerate(estimator_checks_generator(model))
]


# The checks fit to random data for a few epochs, and use what is deprecated.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)
