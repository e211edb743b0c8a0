"""One training run's state and its step: network, averaged twin, optimizer, loss over the joint batch, checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..arrays import checks
from ..arrays.bins_key import from_key, key_of
from ..bins import ColorBins
from ..loss import weighted_cross_entropy
from ..network.unet import ColorUNet, UNetConfig
from . import checkpoint
from .dataset import VARIANTS, Sample
from .distributed import Team, with_joint_norm
from .fast import few_shapes
from .schedule import SCHEDULES, rate

CHECKPOINT = "checkpoint.safetensors"
LOADERS = ("workers", "device")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes; the defaults are near to the paper's.

    Parameters
    ----------
    network : UNetConfig
    steps, batch : int
        Steps of the run; samples a step, of all processes together.
    minutes : float
        The run ends after this time instead, start, last validation and writing included, and its schedule is stretched
        from `steps` to the time; 0 is no budget.
    loader : {"workers", "device"}
        Samples from photographs one by one in worker processes, or from the set in memory in batches on the device
        (:class:`fastcolor.training.memory.Memory`), which is for ``augment="random"``.
    size : int
        Side of the square canvas.
    augment : {"paper", "random", "none"}
        See :class:`fastcolor.training.dataset.PhotoDataset`.
    lam : float
        λ of the class rebalancing: 0 by inverse frequency, 1 not at all.
    rate, schedule, warmup, decay
        Peak learning rate and :func:`fastcolor.training.schedule.rate`.
    weight_decay : float
        Decoupled (AdamW); 0 is Adam.
    clip : float
        Greatest norm of the gradient, longer ones are shortened; 0 leaves them.
    average : float
        Decay a step of the averaged weights, the ones that are validated and kept.
    bfloat16 : bool
        Convolutions in bfloat16 (autocast).
    seed : int

    Raises
    ------
    ValueError, TypeError
        If a value is out of range.
    """

    network: UNetConfig = field(default_factory=UNetConfig)
    steps: int = 20_000
    batch: int = 64
    minutes: float = 0.0
    loader: str = "workers"
    size: int = 256
    augment: str = "paper"
    lam: float = 0.2
    rate: float = 1e-3
    schedule: str = "two-step"
    warmup: int = 0
    decay: int = 0
    weight_decay: float = 0.0
    clip: float = 0.0
    average: float = 0.999
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, options in (("loader", LOADERS), ("augment", tuple(VARIANTS)), ("schedule", SCHEDULES)):
            checks.choice(name, getattr(self, name), options)
        for name in ("steps", "batch", "size"):
            checks.integer(name, getattr(self, name), 1)
        for name in ("warmup", "decay", "seed"):
            checks.integer(name, getattr(self, name), 0)
        for name in ("minutes", "rate", "weight_decay", "clip"):
            checks.real(name, getattr(self, name), 0.0)
        for name in ("lam", "average"):
            checks.real(name, getattr(self, name), 0.0, 1.0)
        if self.loader == "device" and self.augment != "random":
            raise ValueError(f"loader: 'device' makes the samples of augment='random', got augment={self.augment!r}")


class Trainer:
    """The network, its averaged twin, the optimizer, and the step the run has reached."""

    def __init__(self, config: TrainConfig, bins: ColorBins, device: torch.device, team: Team) -> None:
        torch.manual_seed(config.seed)
        self.config, self.bins, self.device, self.team, self.step = config, bins, device, team, 0
        model = ColorUNet(config.network, bins).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.model = with_joint_norm(model) if team.world > 1 else model
        self.runner: nn.Module = DistributedDataParallel(self.model) if team.world > 1 else self.model
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.rate, weight_decay=config.weight_decay, fused=True
        )

    def train_step(self, sample: Sample, place: float | None = None) -> Tensor:
        """One update at a `place` in the schedule, in steps: that of the step itself unless the clock says otherwise.

        Returns the loss of the joint batch, on the device: who does not read it does not wait.
        """
        c = self.config
        place = self.step if place is None else place
        now = c.rate * rate(place, c.steps, schedule=c.schedule, warmup=c.warmup, decay=c.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = now
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.runner, sample)
        loss.backward()
        if c.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), c.clip)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return self.team.total(loss) / self.team.world

    def start_from(self, weights: ColorUNet) -> None:
        """Take the weights of another network of the same shape."""
        self.model.load_state_dict(weights.state_dict())
        self.average.load_state_dict(weights.state_dict())

    def loss(self, model: nn.Module, sample: Sample) -> Tensor:
        """This process's share of the joint loss, times the number of processes (gradients are averaged over them)."""
        luma, labels, weights, mask = (part.to(self.device, non_blocking=True) for part in sample)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            logits = model(luma.contiguous(memory_format=torch.channels_last))
        loss = weighted_cross_entropy(logits, labels, weights, mask)
        if self.team.world == 1:
            return loss
        mass = (weights * mask).sum()
        return loss * (mass * self.team.world / self.team.total(mass).clamp_min(1e-30))

    def blank_loss(self, model: nn.Module) -> Tensor:
        """The loss of a batch of the shape of this process's batches, with nothing in it: to rehearse a step."""
        count, size = self.config.batch // self.team.world, self.config.size
        labels = torch.zeros(count, *[size // self.config.network.fold] * 2, dtype=torch.uint8, device=self.device)
        luma = torch.zeros(count, 1, size, size, device=self.device)
        sample = Sample(luma, labels, torch.ones_like(labels, dtype=torch.float32), labels == 0)
        return self.loss(model, sample)

    @torch.no_grad()
    def _update_average(self) -> None:
        """``average += (1 - a) (model - average)``; a rises to its value, so that the first weights are forgotten."""
        a = min(self.config.average, (1 + self.step) / (10 + self.step))
        pairs = list(zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [value for _, value in floats], 1 - a)
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)

    @torch.no_grad()
    def validate(self, samples: Iterable[Sample]) -> float:
        """Mean loss of the averaged network over this process's validation batches, then over the processes."""
        with few_shapes():
            losses = [self.loss(self.average, sample) for sample in samples]
        return float(torch.stack(losses).double().mean())

    def save(self, folder: Path, **more: Any) -> None:
        """Write the checkpoint, whole or not at all; `more` goes into its JSON."""
        meta = {"step": self.step, "config": asdict(self.config), "bins": key_of(self.bins), **more}
        tensors = checkpoint.pack(self.model, self.average, self.optimizer)
        checkpoint.save_tensors(folder / CHECKPOINT, tensors, meta)

    def load(self, folder: Path) -> dict[str, Any]:
        """Go on from the checkpoint of :meth:`save`; returns its JSON. ValueError if its labels had other bins."""
        tensors, meta = checkpoint.load_tensors(folder / CHECKPOINT)
        if _bins_in(meta) not in (None, self.bins):
            raise ValueError(f"bins: expected those that the run in {folder} began with, got others; leave --bins out")
        checkpoint.unpack(tensors, self.model, self.average, self.optimizer)
        self.step = int(meta["step"])
        return meta


def saved_config(run: Path) -> TrainConfig:
    """The configuration in the checkpoint of a run."""
    values = _meta(run)["config"]
    return TrainConfig(**{**values, "network": UNetConfig(**values["network"])})


def saved_bins(run: Path) -> ColorBins | None:
    """The bins of the labels of a run; None of one from before they were kept."""
    return _bins_in(_meta(run))


def _meta(run: Path) -> dict[str, Any]:
    if not (run / CHECKPOINT).exists():
        raise FileNotFoundError(f"{run / CHECKPOINT}: no such file; there is no run to resume")
    return checkpoint.load_tensors(run / CHECKPOINT)[1]


def _bins_in(meta: dict[str, Any]) -> ColorBins | None:
    if "bins" not in meta:
        return None
    kept = from_key(meta["bins"])  # made anew, for another build of zlib would have written another text
    return ColorBins(kept.table, kept.colors, kept.prior, space=kept.space)
