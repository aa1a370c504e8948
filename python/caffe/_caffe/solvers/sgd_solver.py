"""SGD with momentum, and the steps before the rule that all of Caffe's solvers share.

In:   the diffs that a backward pass left in the net's learnable parameters.
Out:  clip -> divide by iter_size -> weight decay -> rule -> data -= diff; the diff keeps the update.
Not here: the learning rate of an iteration (lr_policy), the loop (solver).
Source: BVLC solvers/sgd_solver.cpp.

Another solver is a class with its own `compute_update_value`, and `history_sets` 2 where it
remembers two arrays per parameter; if it sets `keeps_moving`, frozen parameters cost a device nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from .. import common, log
from ..blob import Blob
from ..cached import Cached
from ..errors import SolverError
from . import lr_policy
from .solver import Solver

_CACHE = 1 << 19  # values updated at a time on the CPU, so that all steps find them in its cache
_REGULARIZATIONS = ("L1", "L2")


@dataclass
class Block:
    """Parameters, or pieces of them, that are updated together: equal multipliers, flat tensors."""

    lr_mult: float
    decay_mult: float
    data: list[torch.Tensor] = field(default_factory=list)
    diff: list[torch.Tensor] = field(default_factory=list)
    history: list[list[torch.Tensor]] = field(default_factory=list)  # one list per history set
    size: int = 0


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum: V = momentum V + lr g, W -= V."""

    type = "SGD"
    history_sets = 1
    # True: at rate 0 a parameter moves only while its history is not 0. False: it stays, whatever the history does.
    keeps_moving = True

    def _pre_solve(self) -> None:
        shapes = [blob.shape for blob in self.net.learnable_params]
        self.history = [Blob(*shape) for _ in range(self.history_sets) for shape in shapes]
        self._still: list[Cached[bool]] = [Cached() for _ in shapes]
        self._blocks: list[Block] = []
        self._blocks_of: list[object] = []

    def _history(self) -> list[Blob]:
        return self.history

    def _check_ready(self) -> None:
        lr_policy.check(self.param)
        kind = self.param.regularization_type
        if self.param.weight_decay and kind not in _REGULARIZATIONS:
            raise SolverError(f"Unknown regularization type: {kind}; known are L1, L2")

    @property
    def lr(self) -> float:
        """The learning rate of this iteration; as in Caffe, reading it advances multistep."""
        rate, step = lr_policy.learning_rate(self.param, self._iter, self._current_step)
        if self.param.lr_policy == "multistep" and step != self._current_step:
            log.info(f"MultiStep Status: Iteration {self._iter}, step = {step}", "sgd_solver.cpp:50")
        self._current_step = step
        return rate

    # -- one update ----------------------------------------------------------------------------

    def apply_update(self) -> None:
        """Update the weights from their diffs and count one iteration.

        Raises:
            SolverError: an unknown learning rate policy or regularization type.
        """
        self._check_ready()
        rate = self.lr
        if self.param.display and self._iter % self.param.display == 0:
            log.info(f"Iteration {self._iter}, lr = {rate:g}", "sgd_solver.cpp:112")
        with torch.no_grad():
            self.clip_gradients()
            for block in self._current_blocks():
                self.normalize(block)
                self.regularize(block)
                local_rate = float(np.float32(rate) * np.float32(block.lr_mult))
                self.compute_update_value(block, local_rate)
                torch._foreach_sub_(block.data, block.diff)
        self._iter += 1

    def clip_gradients(self) -> None:
        """Scale all diffs so that their common L2 norm is at most clip_gradients."""
        limit = self.param.clip_gradients
        params = self.net.learnable_params
        if limit < 0 or not params:
            return
        # Caffe: the norm is of the sum over iter_size passes, before it is divided.
        norms = torch._foreach_norm([blob.read_diff() for blob in params], 2)
        norm = float(torch.stack(norms).norm(2))
        if norm > limit:
            scale = limit / norm
            log.info(f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) "
                     f"by scale factor {scale:g}", "sgd_solver.cpp:99")
            torch._foreach_mul_([blob.edit_diff() for blob in params], scale)

    def normalize(self, block: Block) -> None:
        """Turn sums over iter_size passes into means."""
        if self.param.iter_size != 1:
            torch._foreach_mul_(block.diff, float(np.float32(1) / np.float32(self.param.iter_size)))

    def regularize(self, block: Block) -> None:
        """Add the gradient of the weight decay."""
        decay = float(np.float32(self.param.weight_decay) * np.float32(block.decay_mult))
        if not decay:
            return
        if self.param.regularization_type == "L2":
            torch._foreach_add_(block.diff, block.data, alpha=decay)
        else:
            torch._foreach_add_(block.diff, torch._foreach_sign(block.data), alpha=decay)

    def compute_update_value(self, block: Block, local_rate: float) -> None:
        """Turn gradients (block.diff) into updates, by the rule and what it remembers."""
        # Caffe: the rate sits inside the history (V = mu V + lr g), torch keeps it outside; they differ
        # whenever lr changes. sgd_solver.cpp, ComputeUpdateValue.
        history = block.history[0]
        torch._foreach_mul_(history, self.param.momentum)
        if local_rate:  # Caffe: BLAS skips a product with 0, so frozen parameters survive a gradient of inf
            torch._foreach_add_(history, block.diff, alpha=local_rate)
        torch._foreach_copy_(block.diff, history)

    # -- blocks --------------------------------------------------------------------------------

    def _current_blocks(self) -> list[Block]:
        """Return all parameters in blocks; rebuilt only when memory or a multiplier has changed."""
        net = self.net
        count = len(net.learnable_params)
        rests = [False] * count if common.device() is common.CPU else [self._rests(i) for i in range(count)]
        memory = [[blob.read_data() if still else blob.edit_data()
                   for blob, still in zip(net.learnable_params, rests, strict=True)],
                  [blob.edit_diff() for blob in net.learnable_params],
                  [blob.read_data() if still and self.keeps_moving else blob.edit_data()
                   for blob, still in zip(self.history, rests * self.history_sets, strict=True)]]
        now = [*sum(memory, []), *net.params_lr, *net.params_weight_decay]
        if len(now) != len(self._blocks_of) or any(
                a is not b and a != b if isinstance(a, float) else a is not b
                for a, b in zip(now, self._blocks_of, strict=True)):
            self._blocks_of, self._blocks = now, self._make_blocks(*memory)
        return self._blocks

    def _rests(self, i: int) -> bool:
        """Return whether updates leave parameter i unchanged, on a device, where cached answers then stay valid."""
        keeps_moving = vars(type(self)).get("keeps_moving")  # a subclass must say so itself
        if self.net.params_lr[i] or keeps_moving is None:
            return False
        history = self.history[i]
        return not keeps_moving or self._still[i].of(history, lambda: not bool(history.read_data().any()))

    def _make_blocks(self, data: list[torch.Tensor], diff: list[torch.Tensor],
                     history: list[torch.Tensor]) -> list[Block]:
        limit = _CACHE if common.device().type == "cpu" else 1 << 62
        blocks: list[Block] = []
        filling: dict[tuple[float, float], Block] = {}
        for i in range(len(data)):
            key = (self.net.params_lr[i], self.net.params_weight_decay[i])
            arrays = [data[i], diff[i], *history[i::len(data)]]
            flat = [array.view(-1) for array in arrays]
            if any(len(array) < len(flat[0]) for array in flat):  # DEVIATION D41: Caffe reads beyond the history.
                raise SolverError(f"learnable parameter {i} has {len(flat[0])} values, its history {len(flat[2])}: a "
                                  "script made it larger; reshape it back, or build the net as large as it is to be")
            flat = [array[:len(flat[0])] for array in flat]  # Caffe: as many as the parameter's shape holds
            for start in range(0, len(flat[0]), limit):
                pieces = [array[start:start + limit] for array in flat]
                block = filling.get(key)
                if block is None or block.size + len(pieces[0]) > limit:
                    block = filling[key] = Block(*key, history=[[] for _ in pieces[2:]])
                    blocks.append(block)
                _append(block, pieces)
        return blocks


def _append(block: Block, pieces: list[torch.Tensor]) -> None:
    block.data.append(pieces[0])
    block.diff.append(pieces[1])
    for kept, piece in zip(block.history, pieces[2:], strict=True):
        kept.append(piece)
    block.size += len(pieces[0])
