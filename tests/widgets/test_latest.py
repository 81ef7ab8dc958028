"""Only the newest call is made, and who flushes may count on it."""

from __future__ import annotations

import threading

from workbench.widgets.latest import Latest


def test_the_newest_arguments_arrive_once() -> None:
    made: list[int] = []
    soon = Latest(made.append, 60.0)
    soon.flush()  # begins a period
    for number in range(5):
        soon(number)
    soon.flush()
    soon.flush()
    assert made == [4]


def test_a_call_under_way_on_the_timer_is_waited_for() -> None:
    began, go_on, made = threading.Event(), threading.Event(), list[int]()

    def slow(number: int) -> None:
        began.set()
        assert go_on.wait(60)
        made.append(number)

    soon = Latest(slow, 0.0)
    soon(1)
    assert began.wait(60)
    flushed = threading.Thread(target=soon.flush)
    flushed.start()
    flushed.join(0.05)
    assert flushed.is_alive() and not made
    go_on.set()
    flushed.join(60)
    assert made == [1] and not flushed.is_alive()


def test_a_call_may_ask_for_the_next() -> None:
    made: list[int] = []

    def count(number: int) -> None:
        made.append(number)
        if number < 3:
            soon(number + 1)
            soon.flush()

    soon = Latest(count, 60.0)
    soon(1)
    soon.flush()
    assert made == [1, 2, 3]
