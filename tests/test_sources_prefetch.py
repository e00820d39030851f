"""Reading ahead in a thread: the order, the depth, errors, and threads that end."""

import threading
import time

import pytest

from jaxlr import data


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("jaxlr-prefetch")]


def test_items_come_in_order_and_at_most_depth_are_ahead():
    made, used = [], []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    for item in data.prefetch(items(), depth=3):
        used.append(item)
        time.sleep(0.002)
        assert len(made) <= len(used) + 3 + 1  # those that wait, and the one being made
    assert used == list(range(20))
    assert not threads()


def test_making_and_using_happen_at_once():
    both = threading.Barrier(2, timeout=10)  # passes only where two threads meet

    def items():
        yield 0
        both.wait()
        yield 1

    ahead = data.prefetch(items())
    assert next(ahead) == 0
    both.wait()
    assert list(ahead) == [1]


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise data.DataError("row 2 is bad")

    used = []
    with pytest.raises(data.DataError, match="row 2 is bad"):
        used.extend(data.prefetch(items()))
    ahead = data.prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(data.DataError, match="row 2 is bad"):
        next(ahead)
    assert not threads()


def test_a_consumer_that_stops_early_closes_the_items_and_leaves_no_thread():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield bytes(10)
        finally:
            closed.set()

    ahead = data.prefetch(items(), depth=2)
    next(ahead)
    assert threads()
    ahead.close()
    assert closed.is_set()
    assert not threads()

    def stumble():
        for _ in data.prefetch(items()):
            raise KeyError

    with pytest.raises(KeyError):
        stumble()
    assert not threads()


def test_a_stream_left_early_leaves_no_thread(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "1,r\n2,s\n" * 50_000)
    before = {t for t in threading.enumerate() if t.name.startswith("jaxlr")}
    ahead = data.prefetch(data.open_stream(path, target="y", block_rows=100).blocks())
    next(ahead)
    ahead.close()
    assert {t for t in threading.enumerate() if t.name.startswith("jaxlr")} == before


def test_no_depth_is_refused():
    with pytest.raises(ValueError, match="depth is 0"):
        data.prefetch(range(3), depth=0)
