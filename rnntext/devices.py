"""Where the work is done, in which precision, on how many threads. Nothing else knows of these."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from rnntext.errors import UsageError
from rnntext.tables import TrainingOptions


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` takes an accelerator if there is one.

    Raises:
        UsageError: the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f'device {name!r} cannot be used here ({reason}); set training.device = "cpu"') from None
    return device


def choose_threads(options: TrainingOptions) -> int:
    """Return the number of CPU threads: ``training.threads``, else OMP_NUM_THREADS, else torch's default.

    It is never probed: the count decides how sums are cut up, and with it the last bits of a result.
    """
    if options.threads is not None:
        return options.threads
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else torch.get_num_threads()


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a network computes in ``float32`` or ``bfloat16``; weights are float32 in both.

    In bfloat16, matrix products and what they give are rounded to 8 bits of mantissa; sums that need more stay in
    float32 (``torch.autocast``). It pays on an accelerator and on processors with bfloat16 units.
    """
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=torch.bfloat16)
