"""Learning rates of the fine-tuned encoders: linear warm-up, then linear decay (spec 11, 2.2 and trap T6).

The official code gives its schedule the number of training *rows* where the number of *batches* belongs, so the rate never
leaves its warm-up; `published_ramp` is what it then does.
"""

__all__ = ["linear_schedule", "published_ramp", "steps_per_epoch"]


def steps_per_epoch(rows: int, batch: int) -> int:
    """Optimizer steps in one pass: ceil(rows / batch)."""
    return -(-rows // batch)


def linear_schedule(step: int, total: int, peak: float, warmup: float = 0.1) -> float:
    """Rate of step 1, 2, ..., total: peak * step / w up to w = round(warmup * total), then linearly to 0 at `total`.

    >>> [round(linear_schedule(s, 20, 1.0), 3) for s in (1, 2, 11, 20)]
    [0.5, 1.0, 0.5, 0.0]
    """
    rise = max(1, round(warmup * total))
    if step <= rise:
        return peak * step / rise
    return peak * max(0, total - step) / max(1, total - rise)


def published_ramp(step: int, rows: int, epochs: int, peak: float, warmup: float = 0.1) -> float:
    """Rate of the official code, which counts `rows` steps per epoch: `linear_schedule` with total = rows * epochs.

    `rows` is the fold's training rows N before the validation rows are taken off. With 20 epochs warm-up lasts 2 N steps,
    which are 36 epochs of .889 N / 16 steps, so that the rate after epoch e is e * 3e-5 * .0278 = e * 8.3e-7.
    """
    return linear_schedule(step, rows * epochs, peak, warmup)
