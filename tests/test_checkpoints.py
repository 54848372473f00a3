"""`fit(checkpoint=...)`: a run that was ended at any moment and started again is, bit for bit, one without a break."""

from __future__ import annotations

import os

import numpy as np
import pytest

from chainrule import SGD, DivergenceError, Net, checkpoints
from chainrule.checkpoints import restore
from chainrule.schedules import ReduceOnPlateau
from checkpoint_runs import (
    CASES,
    Break,
    differing,
    draw,
    early_stopping,
    plateau,
    raise_break,
    raise_break_at_5,
    start,
    wide,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


@pytest.fixture(params=CASES)
def case(request):
    return request.param


class TestRuns:
    def test_a_checkpoint_changes_nothing(self, path, case):
        run, expected = start(case, path), start(case)
        assert not differing(run, expected)
        assert expected[1].epochs > 5
        assert os.listdir(path.parent) == [path.name]

    def test_a_run_that_is_over_is_not_run_again(self, path, case):
        expected = start(case, path)
        before = path.read_bytes()
        net, history = start(case, path, callback=lambda state: pytest.fail("trained again"))
        assert not differing((net, history), expected)
        assert history is net.history
        assert 0 < history.seconds <= expected[1].seconds
        assert path.read_bytes() == before

    def test_interrupted_while_it_is_put_where_the_run_was_left(self, path, case, monkeypatch):
        expected = start(case)
        with pytest.raises(Break):
            start(case, path, callback=raise_break_at_5)
        net, X, Y, options = CASES[case]()

        def restore_and_be_interrupted(*arguments):
            restore(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "restore", restore_and_be_interrupted)
            with pytest.raises(KeyboardInterrupt):
                net.fit(X, Y, checkpoint=path, **options)
        assert not differing((net, net.fit(X, Y, checkpoint=path, **options)), expected)

    @pytest.mark.parametrize("every", [1, 3])
    def test_ended_after_any_epoch(self, path, case, every):
        def end(state):
            if state.epoch == last:
                raise Break

        # Functions that look on take turns with blocks of epochs, which nobody sees; both have the same bits.
        expected, last = start(case), 1
        while last < min(expected[1].epochs, 45):
            with pytest.raises(Break):
                start(case, path, callback=end, every=every)
            last += 4
        assert not differing(start(case, path), expected)

    def test_the_best_epoch_before_a_break_is_put_back(self, path):
        epochs = []

        def end(state):
            if state.epoch == np.argmin(expected[1].validation_loss) + 3:
                epochs.append(state.epoch)
                raise Break

        expected = start("early_stopping")
        assert expected[1].stopped == "patience"
        with pytest.raises(Break):
            start("early_stopping", path, callback=end)
        assert not differing(start("early_stopping", path), expected)
        assert len(epochs) == 1

    def test_convergence_is_seen_across_a_break(self, path):
        def end(state):
            if state.epoch == stop:
                raise Break

        losses = start("tiny", tol=0.0)[1].loss
        tol = abs(losses[9] - losses[8])
        expected = start("tiny", tol=tol)
        stop = expected[1].epochs
        assert expected[1].stopped == "converged"
        assert 1 < stop <= 10
        with pytest.raises(Break):
            start("tiny", path, tol=tol, every=stop - 1, callback=end)
        assert Net.load(path).epochs_trained == stop - 1
        assert not differing(start("tiny", path, tol=tol, every=1000), expected)

    def test_a_callback_that_stops_ends_the_run(self, path):
        expected = start("tiny", callback=lambda state: state.epoch == 9)
        assert not differing(start("tiny", path, callback=lambda state: state.epoch == 9), expected)
        assert not differing(start("tiny", path, callback=lambda state: False), expected)

    def test_time_limits_end_parts_of_a_run(self, path, case):
        expected, parts = start(case), 0
        while True:
            run = start(case, path, time_limit=expected[1].seconds / 4)
            if run[1].stopped != "time":
                break
            parts += 1
            assert parts < 1000
        assert parts > 0
        assert not differing(run, expected)

    def test_what_cannot_change_the_result_may_change(self, path):
        with pytest.raises(Break):
            start("wide", path, callback=raise_break)
        net, X, Y, options = wide()
        net = Net([30, 512, 512, 2], "relu", "identity", seed=6, threads=1)
        options |= {"every": 5, "time_limit": 1e6}
        history = net.fit(np.asfortranarray(X), Y, checkpoint=str(path), callback=lambda state: None, **options)
        assert not differing((net, history), start("wide"))

    def test_a_seed_that_was_drawn_is_that_of_the_file(self, path):
        X, Y = draw(3, 1)
        nets = [Net([3, 4, 1]), Net([3, 4, 1])]
        with pytest.raises(Break):
            nets[0].fit(X, Y, epochs=3, checkpoint=path, callback=raise_break)
        history = nets[1].fit(X, Y, epochs=3, validation=None, checkpoint=path)
        assert nets[1].seed == nets[0].seed
        whole = Net([3, 4, 1], seed=nets[0].seed)
        assert not differing((nets[1], history), (whole, whole.fit(X, Y, epochs=3)))
        assert nets[1].weights[0].base is nets[1].parameters.base or nets[1].parameters.size  # views are of the new net
        nets[1].parameters[:] = 0
        assert not nets[1].weights[0].any()

    def test_two_runs_of_one_net(self, tmp_path):
        def program():
            net, X, Y, options = plateau()
            del options["every"]
            net.fit(X, Y, checkpoint=tmp_path / "one", **options)
            return net, net.fit(X[::2], Y[::2], checkpoint=tmp_path / "two", callback=end, **options)

        def end(state):
            if state.epoch == last:
                raise Break

        last = 5
        with pytest.raises(Break):
            program()
        last = None
        net, X, Y, options = plateau()
        del options["every"]
        net.fit(X, Y, **options)
        assert not differing(program(), (net, net.fit(X[::2], Y[::2], **options)))

    @pytest.mark.parametrize("again", ["the same net", "the net of the file"])
    def test_going_on_without_starting_anew(self, path, again):
        net, X, Y, options = early_stopping()
        with pytest.raises(Break):
            net.fit(X, Y, checkpoint=path, every=2, callback=raise_break_at_5, **options)
        net = net if again == "the same net" else Net.load(path)
        assert net.epochs_trained == (5 if again == "the same net" else 4)
        history = net.fit(X, Y, checkpoint=path, **options)
        assert not differing((net, history), start("early_stopping"))

    def test_epochs_are_counted_from_the_beginning_of_the_run(self, path):
        seen = []
        with pytest.raises(Break):
            start("tiny", path, callback=raise_break_at_5, every=2)
        with pytest.raises(Break):
            start("tiny", path, callback=lambda state: seen.append(state.epoch) or raise_break(state), every=2)
        assert seen == [5]
        X, Y = draw(3, 1, 40)
        net = Net([3, 4, 1], "tanh", "identity", "squared_error", seed=0)
        options = {"optimizer": SGD(lr=0.01), "schedule": lambda epoch, lr: 1e12 if epoch == 6 else 0.01}
        with pytest.raises(Break):
            net.fit(X, Y, checkpoint=path.with_name("other"), callback=raise_break_at_5, **options)
        with pytest.raises(DivergenceError, match="diverged in epoch [78],") as caught:
            net.fit(X, Y, checkpoint=path.with_name("other"), **options)
        assert caught.value.epoch in (7, 8)
        assert net.history.epochs == caught.value.epoch - 1

    def test_no_epochs(self, path):
        net = Net([3, 4, 1], seed=0)
        for _ in range(2):
            history = net.fit(*draw(3, 1), epochs=0, checkpoint=path)
            assert (history.epochs, history.stopped, len(history.loss)) == (0, "epochs", 0)


@pytest.mark.parametrize("schedule", ["constant", lambda epoch, lr: lr * 0.5, ReduceOnPlateau(patience=0, tol=0.5)])
@pytest.mark.parametrize("fail_at", [4, 7, 8])
def test_a_run_whose_callback_trains_its_net_too(path, schedule, fail_at):
    """The net is then at more epochs than the run, and was trained with another schedule."""
    random = np.random.default_rng(0)
    X, Y, extra = random.random((64, 3)), random.random((64, 1)), (random.random((32, 3)), random.random((32, 1)))

    def run(fail_at=0, **options):
        def train_more(state):
            if state.epoch % 3 == 0:
                state.net.fit(*extra, epochs=1)
            if state.epoch == fail_at:
                raise Break

        net = Net([3, 8, 1], "tanh", "identity", seed=1)
        return net, net.fit(X, Y, epochs=10, batch_size=8, callback=train_more, schedule=schedule, **options)

    expected = run()
    with pytest.raises(Break):
        run(fail_at, checkpoint=path)
    assert not differing(run(checkpoint=path), expected)
    assert not differing(run(checkpoint=path), expected)
