"""What comes next is made on another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from workbench.spaces.ahead import ahead, one_at_a_time

WAIT_S = 60


def test_the_same_things_come_in_the_same_order_and_all_but_the_first_from_another_thread() -> None:
    makers: list[threading.Thread] = []

    def source() -> Iterator[int]:
        for number in range(7):
            makers.append(threading.current_thread())
            yield number

    assert list(ahead(source(), depth=2)) == list(range(7))
    here = threading.current_thread()
    assert makers[0] is here and here not in makers[1:] and len(set(makers)) == 2
    assert list(ahead(iter(()))) == []


@pytest.mark.parametrize("depth", [1, 2])
def test_so_many_and_no_more_are_made_before_they_are_asked_for(depth: int) -> None:
    made, there = [], threading.Semaphore(0)

    def source() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            there.release()
            yield number

    coming = ahead(source(), depth=depth)
    assert next(coming) == 0
    for _ in range(1 + depth):
        assert there.acquire(timeout=WAIT_S)
    coming.close()  # type: ignore[attr-defined]
    assert made == list(range(1 + depth))


def test_an_error_is_raised_where_its_thing_is_asked_for_and_ends_it() -> None:
    def source() -> Iterator[int]:
        yield 0
        yield 1
        raise ValueError("row 7 is no text")

    coming = ahead(source(), depth=3)
    assert [next(coming), next(coming)] == [0, 1]
    with pytest.raises(ValueError, match="row 7 is no text"):
        next(coming)
    assert list(coming) == []


def test_nothing_is_left_of_one_that_was_let_go() -> None:
    coming = ahead(iter(range(100)), depth=2)
    assert next(coming) == 0
    del coming
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_a_second_call_waits_for_the_first_and_an_error_lets_it_go_on() -> None:
    inside, go_on, order = threading.Event(), threading.Event(), []

    def work(name: str) -> str:
        order.append(f"{name} begins")
        if name == "first":
            inside.set()
            assert go_on.wait(WAIT_S)
        order.append(f"{name} ends")
        if name == "bad":
            raise ValueError(name)
        return name

    alone = one_at_a_time(work)
    first = threading.Thread(target=alone, args=("first",))
    first.start()
    assert inside.wait(WAIT_S)
    second = threading.Thread(target=alone, args=("second",))
    second.start()
    go_on.set()
    first.join(WAIT_S)
    second.join(WAIT_S)
    assert order == ["first begins", "first ends", "second begins", "second ends"]
    with pytest.raises(ValueError, match="bad"):
        alone("bad")
    assert alone("last") == "last"
