"""Training loops side by side, a step at a time: on a shared machine nothing else compares like with like.

Every loop runs in a thread of its own, and only one at a time: at the end of a step it hands over to the next loop and waits for its
turn. So all loops meet the same load of the machine. The clock is the thread's own CPU time.
"""

import statistics
import threading
import time
from collections.abc import Callable, Mapping

__all__ = ["shares", "side_by_side", "spread"]


class _Turns:
    def __init__(self, names: list[str]):
        self.changed, self.waiting, self.now = threading.Condition(), list(names), 0

    def take(self, name: str) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting[self.now] == name)

    def hand_over(self, name: str, last: bool) -> None:
        with self.changed:
            if last:
                self.waiting.remove(name)
                self.now = self.now % len(self.waiting) if self.waiting else 0
            else:
                self.now = (self.now + 1) % len(self.waiting)
            self.changed.notify_all()


def side_by_side(loops: Mapping[str, Callable[[Callable[[int], None]], None]], first: int) -> dict[str, list[float]]:
    """CPU seconds of every step after the first `first` of every loop; a loop calls what it is given at the end of each step."""
    turns, seconds, failed = _Turns(list(loops)), {name: [] for name in loops}, []

    def run(name: str) -> None:
        begun = 0.0

        def after_step(step: int) -> None:
            nonlocal begun
            now = time.thread_time()
            if step > first:
                seconds[name].append(now - begun)
            turns.hand_over(name, last=False)
            turns.take(name)
            begun = time.thread_time()

        turns.take(name)
        try:
            loops[name](after_step)
        except BaseException as error:  # shown by the caller's thread
            failed.append(error)
        turns.hand_over(name, last=True)

    threads = [threading.Thread(target=run, args=(name,)) for name in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return seconds


def shares(found: list[dict[str, list[float]]], ours: str, other: str) -> list[float]:
    """CPU seconds of the other's steps / of ours, round by round: above 1 ours is faster."""
    return [sum(one[other]) / sum(one[ours]) for one in found]


def spread(ratios: list[float]) -> str:
    """Median (least - most)."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} - {max(ratios):.3f})"
