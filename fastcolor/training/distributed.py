"""Training in several processes: who am I, what do the others have, and batch normalisation over the joint batch.

N processes with batches of B / N compute what one process computes with the batch B, up to the order of additions:
the loss is divided by the joint sum of weights, gradients are added, and batch normalisation uses joint statistics.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Team:
    """The processes of a run: `rank` of `world`; rank 0 writes."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """True in the process that writes files and draws the bar."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes, outside the graph."""
        value = value.detach().clone()
        if self.world > 1:
            dist.all_reduce(value)
        return value


def own_device(device: str) -> torch.device:
    """The device of this process: of several GPUs on a machine, each process that ``torchrun`` starts has its own.

    Raises
    ------
    ValueError
        If it is CUDA and torch has none.

    Examples
    --------
    >>> own_device("cpu")
    device(type='cpu')
    """
    chosen = torch.device(device)
    if chosen.type != "cuda":
        return chosen
    if not torch.cuda.is_available():
        raise ValueError(
            f"device: expected one that torch sees, got {device!r}: this torch has no CUDA, or there is no GPU; "
            "`fastcolor doctor` says more"
        )
    if chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(chosen)
    return chosen


def join_team(device: torch.device) -> Team:
    """The team that ``torchrun`` started, or a team of one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Team()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Team(dist.get_rank(), world)


def leave_team() -> None:
    """Undo :func:`join_team`."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


M = TypeVar("M", bound=nn.Module)


class _JointSum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return _JointSum.apply(grads[0])


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the joint batch, on any device.

    torch's SyncBatchNorm does the same on CUDA only.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        wide = x.float()
        parts = torch.cat([wide.sum((0, 2, 3)), (wide * wide).sum((0, 2, 3))])
        count = torch.tensor(float(x.numel() // x.shape[1]), device=x.device)
        dist.all_reduce(count)
        mean, square = (_JointSum.apply(parts) / count).chunk(2)
        variance = (square - mean * mean).clamp_min(0)
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], wide, scale[:, None, None]).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics as torch keeps them: a lerp by `momentum`, of the unbiased variance."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum or 0.0)
        self.running_var.lerp_(variance, self.momentum or 0.0)
        self.num_batches_tracked += 1


def with_joint_norm(module: M) -> M:
    """Replace every BatchNorm2d inside `module` by one over the joint batch; parameters and names stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            joint = JointBatchNorm2d(child.num_features, child.eps, child.momentum)
            joint.load_state_dict(child.state_dict())
            setattr(module, name, joint)
        else:
            with_joint_norm(child)
    return module
