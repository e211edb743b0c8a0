"""A budget of minutes: the schedule in time, what is kept free for the end, and what a resumed run has left."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fastcolor.training import clock as module  # noqa: E402
from fastcolor.training import loop  # noqa: E402
from fastcolor.training.clock import MARGIN, Clock, Every, parts, validations  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.distributed import Team  # noqa: E402
from fastcolor.training.feed import Check, Feed  # noqa: E402
from fastcolor.training.models import Best  # noqa: E402
from fastcolor.training.schedule import rate  # noqa: E402


class Time:
    """A clock that is set by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    monkeypatch.setattr(module, "time", made := Time())
    return made


def test_without_a_budget_steps_are_steps(time: Time) -> None:
    clock = Clock(0)
    time.now += 1e6
    assert (clock.place(5, 10), clock.over(9, 10), clock.over(10, 10)) == (5, False, True)
    assert clock.seconds == 1e6


def test_the_share_of_the_time_stands_for_the_share_of_the_steps(time: Time) -> None:
    clock = Clock(2, started=990.0)
    assert clock.place(0, 400) == 0  # the first ten seconds went into the start
    time.now += 55
    assert clock.place(7, 400) == pytest.approx(200)
    time.now += 55
    assert clock.place(7, 400) == 400
    time.now += 55
    assert clock.place(7, 400) == 400


def test_the_rate_rises_holds_and_falls_to_nothing(time: Time) -> None:
    clock, rates = Clock(1), []
    for _ in range(61):
        rates.append(rate(clock.place(0, 1000), 1000, schedule="hold-decay", warmup=100, decay=500))
        time.now += 1
    assert rates[0] == pytest.approx(0.01)
    assert rates[:7] == sorted(rates[:7])
    assert rates[7:30] == [1.0] * 23
    assert rates[31:] == sorted(rates[31:], reverse=True)
    assert rates[45] == pytest.approx(0.5)
    assert rates[60] == 0


def test_what_is_done_last_keeps_its_time(time: Time) -> None:
    clock = Clock(1)
    time.now += 10
    with clock.measured():
        time.now += 5
    assert clock.closing == 5
    time.now += 60 - 15 - 5 * MARGIN - 2
    clock.place(0, 1)
    clock.tick()
    assert not clock.over(0, 1)
    time.now += 1.5  # the last step took so long: another does not fit
    clock.tick()
    assert clock.over(0, 1)
    with clock.measured():
        time.now += 5
    assert clock.seconds <= 60


class Ahead:
    """A trainer whose steps take a tenth of a second of this process, and then a quarter of one on the device."""

    config = TrainConfig(minutes=1.0)
    device, team = torch.device("cuda"), Team()
    step, ready = 0, 0.0

    def __init__(self, time: Time) -> None:
        self.time = time

    def wait(self, *_: object) -> float:
        self.time.now = max(self.time.now, self.ready)
        return 1.0

    def train_step(self, sample: object, place: float) -> torch.Tensor:
        self.step += 1
        self.time.now += 0.1
        self.ready = max(self.ready, self.time.now) + 0.25
        return torch.ones(())

    def validate(self, samples: object) -> float:
        self.wait()
        self.time.now += 2.0
        return 1.0


@pytest.mark.parametrize("minutes", [1 + k / 19 for k in range(10)])
def test_on_a_device_that_lags_behind_it_ends_in_time(
    time: Time, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    clock, trainer = Clock(minutes), Ahead(time)
    clock.closing = 2.0
    monkeypatch.setattr(loop, "_rehearsed", lambda trainer, feed, *_: feed)
    monkeypatch.setattr(loop._Meter, "read", trainer.wait)
    feed = Feed(itertools.repeat(None), [Check("a", 1.0, [], lambda every: [], 0)], 10, [])  # type: ignore[arg-type]
    best = Best(Path(), {}, anew=False)
    course = loop.Course(clock, Every(None, None, 0.0), validations(clock, 10, None), parts(clock, 40), 0, best)
    loop.go(trainer, feed, course, None)  # type: ignore[arg-type]
    assert clock.closing == pytest.approx(2.0)
    assert clock.budget - 0.25 * 2 * loop.READ_EVERY < clock.seconds <= clock.budget


def test_a_resumed_clock_has_what_was_left(time: Time) -> None:
    clock = Clock(1)
    time.now += 3
    clock.place(0, 100)
    with clock.measured():
        time.now += 2
    time.now += 10
    state = clock.state
    assert state == {"seconds": 15.0, "begin": 3.0, "closing": 2.0}
    time.now += 1e4
    again = Clock(1, started=time.now - 4, before=state)
    assert again.seconds == 19
    assert again.place(0, 100) == pytest.approx(100 * (19 - 3) / (60 - 2 * MARGIN - 3))
    longer = Clock(10, before=state)
    assert longer.seconds == 15
    assert not longer.over(0, 1)
    time.now += 60
    assert again.over(0, 1)
    assert str(again) == "79.0 s of 60 s"
    assert str(Clock(0, before=None)) == "0.0 s"


def test_every_so_many_steps_or_seconds() -> None:
    steps = Every(3, None, 0.0)
    assert [steps.due(step, 0.0) for step in range(1, 7)] == [False, False, True, False, False, True]
    seconds = Every(None, 10.0, 5.0)
    assert [seconds.due(1, now) for now in (14.0, 15.0, 16.0, 24.9, 25.0)] == [False, True, False, False, True]
    both = Every(2, 10.0, 0.0)
    assert [both.due(step, now) for step, now in ((1, 9.0), (2, 9.5), (3, 19.0), (3, 19.5))] == [
        False,
        True,
        False,
        True,
    ]


def test_when_to_validate() -> None:
    assert validations(Clock(0), 40, None).steps == 40
    assert validations(Clock(0), 40, 7).steps == 7
    assert validations(Clock(8), 40, 7).steps == 7
    timed = validations(Clock(8), 40, None)
    assert (timed.steps, timed.seconds) == (None, 60.0)
