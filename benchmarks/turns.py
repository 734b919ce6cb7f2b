"""Training loops side by side, a step at a time: on a shared machine nothing else compares like with like.

Every loop runs in a thread of its own, and only one at a time: at the end of a step it hands over to the next loop and waits for its
turn. So all loops meet the same load of the machine. The clock is the thread's own CPU time. All threads allocate from one arena
(`one_arena`): else which thread got which arena decides about page faults, 8 % of a step from one round to the next.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import permutations

__all__ = ["in_turn", "one_arena", "shares", "side_by_side", "spread"]


ARENA = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}


def one_arena() -> None:
    """Begin the process anew with one memory arena of glibc for all threads, that is not given back between steps."""
    if any(os.environ.get(name) != value for name, value in ARENA.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ARENA)


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


def in_turn(names: list[str], number: int) -> list[str]:
    """The order of a round: every permutation in turn, so that each loop follows each other one (whose traces in the caches it finds)."""
    orders = list(permutations(names))
    return list(orders[number * 5 % len(orders)])


def shares(found: list[dict[str, list[float]]], ours: str, other: str) -> list[float]:
    """CPU seconds of the other's steps / of ours, round by round: above 1 ours is faster."""
    return [sum(one[other]) / sum(one[ours]) for one in found]


def spread(ratios: list[float]) -> str:
    """Median (least - most)."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} - {max(ratios):.3f})"
