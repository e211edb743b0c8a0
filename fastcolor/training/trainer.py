"""One training run's state and its step: network, averaged twin, optimizer, loss over the joint batch, checkpoint."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..arrays.bins_key import from_key, key_of
from ..bins import ColorBins
from ..files.tensors import Stored
from ..loss import weighted_cross_entropy
from ..network.config import UNetConfig
from ..network.encoder_weights import load_encoder
from ..network.pretrained import misfit
from ..network.unet import ColorUNet, shapes_of
from . import checkpoint
from .config import TrainConfig
from .dataset import AnySample, Sample, SoftSample
from .distance import mean_distance
from .distributed import Team, with_joint_norm
from .fast import few_shapes, spare_depthwise
from .groups import SHARE, freeze, parameter_groups
from .schedule import rate

CHECKPOINT = "checkpoint.safetensors"
KEPT = ("freeze",)  # options that a resumed run cannot change: which parameters have moments


class Trainer:
    """The network, its averaged twin, the optimizer, and the step the run has reached."""

    def __init__(self, config: TrainConfig, bins: ColorBins, device: torch.device, team: Team) -> None:
        torch.manual_seed(config.seed)
        self.config, self.bins, self.device, self.team, self.step = config, bins, device, team, 0
        model = ColorUNet(config.network, bins).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        if config.drop_path or config.dropout:
            model.regularize(drop_path=config.drop_path, dropout=config.dropout)
        if config.bfloat16 and device.type == "cpu":
            spare_depthwise(model)
        self.model: ColorUNet = with_joint_norm(model) if team.world > 1 else model
        freeze(self.model, config.freeze)
        self.runner: nn.Module = DistributedDataParallel(self.model) if team.world > 1 else self.model
        self.optimizer = torch.optim.AdamW(parameter_groups(self.model, config), lr=config.rate, fused=True)

    def train_step(self, sample: AnySample, place: float | None = None) -> Tensor:
        """One update at a `place` in the schedule, in steps: that of the step itself unless the clock says otherwise.

        Returns the loss of the joint batch, on the device: who does not read it does not wait.
        """
        c = self.config
        place = self.step if place is None else place
        now = c.rate * rate(place, c.steps, schedule=c.schedule, warmup=c.warmup, decay=c.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = group[SHARE] * now
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
        """Take the weights of another network of the same shape.

        Raises
        ------
        ValueError
            If it has another shape, or other bins than the run.
        """
        if weights.bins != self.bins:
            raise ValueError(
                "start: expected a network with the bins of the run, got others; --bins takes its bins.npz"
            )
        try:
            self.model.load_state_dict(weights.state_dict())
        except RuntimeError as error:  # torch lists every tensor that is missing, left over or of another shape
            raise ValueError(
                f"start: expected a network of the shape {self.config.network}, got {weights.config}"
            ) from error
        self.average.load_state_dict(weights.state_dict())

    def start_encoder_from(self, path: str) -> None:
        """Take public weights for the encoder; see :func:`fastcolor.network.encoder_weights.load_encoder`.

        The head begins at the shares of the bins, which would otherwise cost the encoder its first hundred steps.
        """
        load_encoder(self.average, path)
        last = self.average.head[-1]
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.copy_(torch.log(torch.tensor(self.bins.prior) + 1e-4))
        self.model.load_state_dict(self.average.state_dict())

    def loss(self, model: nn.Module, sample: AnySample, *, distance: float | None = None) -> Tensor:
        """This process's share of the joint loss, times the number of processes (gradients are averaged over them).

        `distance` stands in place of the configuration's.
        """
        distance = self.config.distance if distance is None else distance
        luma, labels, weights, mask, *soft = (part.to(self.device, non_blocking=True) for part in sample)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            logits = model(luma.contiguous(memory_format=torch.channels_last))
        own = weighted_cross_entropy(logits, labels, weights, mask, shares=soft[0] if soft else None)
        loss = self._joint(own, weights * mask)
        if distance:
            nearest = labels[:, 0] if soft else labels  # encode_soft gives the nearest first
            loss = loss + distance * self._joint(mean_distance(logits, nearest, mask, self.bins), mask)
        return loss

    def _joint(self, own: Tensor, weights: Tensor) -> Tensor:
        """This process's share of a joint weighted mean, times the number of processes, from its `own` mean."""
        if self.team.world == 1:
            return own
        mass = weights.sum(dtype=torch.float32)
        return own * (mass * self.team.world / self.team.total(mass).clamp_min(1e-30))

    def blank_loss(self, model: nn.Module) -> Tensor:
        """The loss of a batch of the shape of this process's batches, with nothing in it: to rehearse a step."""
        count, size = self.config.batch // self.team.world, self.config.size
        labels = torch.zeros(count, *[size // self.config.network.fold] * 2, dtype=torch.uint8, device=self.device)
        luma = torch.zeros(count, 1, size, size, device=self.device)
        blank = Sample(luma, labels, torch.ones_like(labels, dtype=torch.float32), labels == 0)
        if not self.config.soft:
            return self.loss(model, blank)
        soft = labels[:, None].expand(-1, self.config.soft, -1, -1).contiguous()
        return self.loss(model, SoftSample(luma, soft, *blank[2:], torch.ones_like(soft, dtype=torch.float32)))

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
    def validate(self, samples: Iterable[AnySample]) -> float:
        """Mean cross entropy of the averaged network over validation batches: without the distance, whose weight may
        differ between runs, or change in one.
        """
        with few_shapes():
            losses = [self.loss(self.average, sample, distance=0.0) for sample in samples]
        return float(torch.stack(losses).double().mean())

    def save(self, folder: Path, **more: Any) -> None:
        """Write the checkpoint, whole or not at all; `more` goes into its JSON."""
        meta = {"step": self.step, "config": asdict(self.config), "bins": key_of(self.bins), **more}
        tensors = checkpoint.pack(self.model, self.average, self.optimizer)
        checkpoint.save_tensors(folder / CHECKPOINT, tensors, meta)

    def load(self, folder: Path) -> dict[str, Any]:
        """Go on from the checkpoint of :meth:`save`; returns its JSON.

        Raises
        ------
        ValueError
            If it is of another network, trained other parameters, or its labels had other bins.
        CheckpointError
            If it is damaged, or lacks what a run has after its steps; nothing is changed then.
        """
        path = folder / CHECKPOINT
        tensors, meta = checkpoint.load_tensors(path)
        before = saved_config(folder)
        if before.network != self.config.network:
            raise ValueError(
                f"network: expected that of the run in {folder}, {before.network}, got {self.config.network}"
            )
        for name in KEPT:
            if (kept := getattr(before, name)) != (given := getattr(self.config, name)):
                raise ValueError(
                    f"{name}: expected {kept}, as the run in {folder} began with, got {given}; --start begins a new one"
                )
        if saved_bins(folder) not in (None, self.bins):
            raise ValueError(f"bins: expected those that the run in {folder} began with, got others; leave --bins out")
        with checkpoint.naming(path):
            checkpoint.unpack(tensors, self.model, self.average, self.optimizer, meta["step"])
        self.step = meta["step"]
        return meta


def saved_config(run: Path) -> TrainConfig:
    """The configuration in the checkpoint of a run, whose network has the shapes of the weights beside it.

    Raises
    ------
    FileNotFoundError
        If there is none.
    CheckpointError
        If it is damaged.
    """
    meta, stored = _look(run)
    with checkpoint.naming(run / CHECKPOINT):
        config = config_in(meta)
        weights = {name.removeprefix("model."): one for name, one in stored.items() if name.startswith("model.")}
        if wrong := misfit(weights, shapes_of(config.network)):  # before anything of the size in the JSON is made
            raise ValueError(f"weights that do not fit its configuration: {wrong}")
    return config


def config_in(meta: dict[str, Any]) -> TrainConfig:
    """The configuration in the JSON of a checkpoint; ValueError or TypeError if there is none."""
    values = meta.get("config")
    if not isinstance(values, dict) or not isinstance(values.get("network"), dict):
        raise ValueError("no configuration in its JSON")
    return TrainConfig(**{**values, "network": UNetConfig(**values["network"])})


def saved_bins(run: Path) -> ColorBins | None:
    """The bins of the labels of a run; None of one from before they were kept. Raises as :func:`saved_config`."""
    meta, _ = _look(run)
    if "bins" not in meta:
        return None
    with checkpoint.naming(run / CHECKPOINT):
        try:
            kept = from_key(meta["bins"])  # made anew, for another build of zlib would have written another text
        except (AttributeError, TypeError, zlib.error) as error:
            raise ValueError(f"bins: expected the text of color bins, got {error}") from error
        return ColorBins(kept.table, kept.colors, kept.prior, space=kept.space)


def _look(run: Path) -> tuple[dict[str, Any], dict[str, Stored]]:
    if not (run / CHECKPOINT).exists():
        raise FileNotFoundError(f"{run / CHECKPOINT}: no such file; there is no run to resume")
    return checkpoint.load_meta(run / CHECKPOINT)
