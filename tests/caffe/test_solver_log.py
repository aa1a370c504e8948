"""The speed that the solver's display line shows."""

from __future__ import annotations

from caffe._caffe.solvers import training_log


def test_speed_counts_from_display_to_display(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(training_log.time, "monotonic", lambda: now[0])
    timer = training_log.IterationTimer()
    timer.start(0)
    assert timer.lap(0) == (0, 0)  # Caffe: whatever lay in memory
    for iteration in range(1, 20):  # step(1) in a loop, a display every 20
        timer.start(iteration)
        now[0] += 0.5
    assert timer.lap(20) == (20 / 9.5, 9.5)
    now[0] += 2
    assert timer.lap(21) == (0.5, 2)
