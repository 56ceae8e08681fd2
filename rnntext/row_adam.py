"""Adam whose work follows the batch, not the vocabulary.

Dense Adam moves all rows of an embedding in every step, since a row that had a gradient once goes on by its momentum;
with many words that costs more than the network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8
"""Adam's, as torch sets them; no recipe changes them."""
TAIL_RATIO = MEAN_DECAY / math.sqrt(SQUARE_DECAY)
"""How an idle row's movement shrinks from one step to the next."""
TAIL_STEPS = 256
"""Steps after which a row has come to rest: less than 1e-11 of its movement is left."""
ROWS_AT_ONCE = 2**16


class RowAdam(torch.optim.Optimizer):
    """Adam for tables whose gradient is sparse: only rows that a batch reads are worked on.

    It gives the weights of dense Adam, but for rounding. There a row with one gradient moves on by its momentum,
    about nine times as far again as in that step. Here it waits, and makes up for all of it by a closed form (a
    geometric sum, weighted by each step's rate) as soon as somebody is to read it: call ``catch_up`` before. A row
    that is touched without having been announced catches up then, too late for that one gradient. ``settle`` brings
    all rows up to date.

    Two things are not as in dense Adam. EPSILON is taken to stay, relative to the second moment, as it was when the
    row was last touched; it counts only where gradients are as small as that. And coupled ``weight_decay`` is lazy:
    it is added to the gradients of the rows that a batch touches, and leaves idle rows alone, where dense Adam would
    draw them to zero at nearly the full rate, however small it is. Decoupled decay is made up for like momentum, each
    step at its rate.

    Args:
        parameters: the tables, float [rows, width]; or groups of them, as torch has them.
        lr: size of a step; may change between steps.
        weight_decay: pull towards zero.
        decoupled: as in AdamW, apart from the gradient; else added to it.

    Source:
        Kingma and Ba (2015), Adam, algorithm 1; Loshchilov and Hutter (2019), Decoupled weight decay regularization,
        algorithm 2. torch.optim.SparseAdam also works on touched rows alone, but drops what idle rows miss.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "decoupled": decoupled})

    @torch.no_grad()
    def catch_up(self, parameter: Tensor, rows: Tensor) -> None:
        """Bring rows to where dense Adam would have them by now.

        Args:
            parameter: one of the tables.
            rows: int64, of any shape, with repetitions.
        """
        state = self._state(parameter)
        step, rows = int(state["step"]), rows.flatten()
        rows = torch.unique(rows[state["last_step"][rows] < step])
        if not len(rows):
            return
        last = state["last_step"][rows]
        idle = (step - last).to(parameter.dtype)[:, None]
        mean, square = state["exp_avg"].index_select(0, rows), state["exp_avg_sq"].index_select(0, rows)
        # 1 at the least: a row that was never touched has no moments, and 0 / 0 would be no number.
        correction = (1 - SQUARE_DECAY ** last.clamp(min=1).to(parameter.dtype)).sqrt()[:, None]
        missed = mean / square.sqrt().add_(EPSILON * correction) * state["tails"][last][:, None]
        weights = parameter.index_select(0, rows).sub_(missed)
        if "log_kept" in state:
            weights *= (state["log_kept"][step] - state["log_kept"][last]).exp()[:, None]
        parameter.index_copy_(0, rows, weights)
        state["exp_avg"].index_copy_(0, rows, mean.mul_(MEAN_DECAY**idle))
        state["exp_avg_sq"].index_copy_(0, rows, square.mul_(SQUARE_DECAY**idle))
        state["last_step"].index_fill_(0, rows, step)

    def settle(self) -> None:
        """Bring all rows up to date, before weights are used as a whole."""
        for parameter in self.state:
            # Some at a time, so that no copy of a large table is made.
            for start in range(0, len(parameter), ROWS_AT_ONCE):
                end = min(start + ROWS_AT_ONCE, len(parameter))
                self.catch_up(parameter, torch.arange(start, end, device=parameter.device))

    # torch's own may take a function that computes the loss, and return it; no caller here has one.
    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step with the gradients that there are.

        Raises:
            TypeError: a gradient is dense: something else than rows of the table was read.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if not parameter.grad.is_sparse:
                    raise TypeError(
                        f"a table of {len(parameter):,} rows, to be updated one by one, got a dense gradient: it is "
                        "read as a whole somewhere. Its module must not have `before_reading`"
                    )
                self._step(parameter, parameter.grad.coalesce(), group)

    def _step(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        rows, values = gradient.indices()[0], gradient.values()
        self.catch_up(parameter, rows)
        state = self._state(parameter)
        state["step"] += 1
        step = int(state["step"])
        rate, decay = group["lr"], group["weight_decay"]
        weights = parameter.index_select(0, rows)
        if decay and group["decoupled"]:
            weights *= 1 - rate * decay
        elif decay:
            values = values + decay * weights
        mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - MEAN_DECAY)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(SQUARE_DECAY)
        square.addcmul_(values, values, value=1 - SQUARE_DECAY)
        mean_share, square_root_share = 1 - MEAN_DECAY**step, math.sqrt(1 - SQUARE_DECAY**step)
        weights.addcdiv_(mean, square.sqrt().div_(square_root_share).add_(EPSILON), value=-rate / mean_share)
        parameter.index_copy_(0, rows, weights)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        state["last_step"].index_fill_(0, rows, step)
        self._lengthen_tails(state, step, rate * square_root_share / mean_share, 1 - rate * decay)

    def _lengthen_tails(self, state: dict[str, Any], step: int, size: float, kept: float) -> None:
        """Note what this step means to every row that it left idle.

        ``tails[s]`` is how far a row whose ``last_step`` is s should have moved since, in units of its mean over the
        root of its square at step s; ``log_kept[s]`` is the logarithm of what decay has left of a weight by step s.
        """
        for name in {"tails", "log_kept"} & state.keys():
            if step >= len(state[name]):
                state[name] = torch.cat([state[name], torch.zeros_like(state[name])])
        first = max(0, step - TAIL_STEPS)
        ages = torch.arange(step - first, 0, -1, device=state["tails"].device)
        moved = size * TAIL_RATIO ** ages.to(state["tails"].dtype)
        if "log_kept" in state:
            state["log_kept"][step] = state["log_kept"][step - 1] + math.log(max(kept, 1e-30))
            # A row decays once for all it missed, after it has moved; what came later decayed less.
            moved *= (state["log_kept"][first:step] - state["log_kept"][step]).exp()
        state["tails"][first:step] += moved

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        """Return what is kept of a table; named as torch's Adam names it, where it means the same."""
        state: dict[str, Any] = self.state[parameter]
        if not state:
            (group,) = [each for each in self.param_groups if any(parameter is one for one in each["params"])]
            with torch.inference_mode(False):  # the first to read may be a prediction; the state is for training
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["last_step"] = torch.zeros(len(parameter), dtype=torch.int64, device=parameter.device)
                state["tails"] = parameter.new_zeros(TAIL_STEPS)
                if group["weight_decay"] and group["decoupled"]:
                    state["log_kept"] = parameter.new_zeros(TAIL_STEPS)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["last_step"] = state["last_step"].long()  # torch gives all tensors the type of the weights
