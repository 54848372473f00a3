"""A small net, and inputs and targets for it."""

from __future__ import annotations

import pytest

from helpers import ROWS, draw, small_net


@pytest.fixture
def net():
    return small_net()


@pytest.fixture
def X(net):
    return draw(net, ROWS)[0]


@pytest.fixture
def Y(net):
    return draw(net, ROWS)[1]
