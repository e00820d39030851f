"""Reading ahead: the next items are made in a thread while the one before is used."""

import threading
from collections.abc import Generator, Iterable
from queue import Queue
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


def prefetch(items: Iterable[Item], depth: int = 1) -> Generator[Item]:
    """Iterate over ``items``, which are made in a thread, up to ``depth`` of them ahead.

    At once there are ``depth`` items that wait, one that is used and one that is being made.

    Parameters
    ----------
    items : iterable
        Iterated over in the thread only, and closed there.
    depth : int
        At least 1.

    Yields
    ------
    item
        In the order of ``items``. An error in the thread is raised here, after the items before
        it. A consumer that stops early, or is stopped by an error, ends the thread.

    Examples
    --------
    >>> list(prefetch(range(4)))
    [0, 1, 2, 3]
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; at least one item must be read ahead")
    return _prefetch(items, depth)


def _prefetch(items: Iterable[Any], depth: int) -> Generator[Any]:
    ready: Queue[tuple[Any, BaseException | None]] = Queue()
    room, stop = threading.Semaphore(depth), threading.Event()

    def make() -> None:
        made, error = None, None
        try:
            made = iter(items)
            for item in made:
                room.acquire()
                if stop.is_set():
                    break
                ready.put((item, None))
                del item
        except BaseException as raised:  # whatever it is belongs to the consumer
            error = raised
        finally:
            close = getattr(made, "close", None)
            if close is not None:
                close()
            ready.put((_END, error))

    thread = threading.Thread(target=make, name="jaxlr-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            room.release()
            yield item
            del item
    finally:
        stop.set()
        room.release()
        thread.join()
