"""What decides a training run beside its photographs: the shape of the network, and the options of each step."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..arrays import checks
from ..network.config import UNetConfig
from ..reference.constants import MAX_NEIGHBORS
from .dataset import IN_BATCHES, RANDOM_AREA, VARIANTS
from .schedule import SCHEDULES

LOADERS = ("workers", "device")
SOFT_SIGMA = 0.05  # the median distance of neighboring bins, of 64 fitted on photographs


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
        (:class:`fastcolor.training.memory.Memory`), which is for ``augment="random"`` and ``"mixed"``.
    size : int
        Side of the square canvas.
    augment : {"paper", "random", "mixed", "squeezed", "none"}
        See :class:`fastcolor.training.dataset.PhotoDataset`.
    area : float
        Smallest area of a random crop, relative to what it is cut from, in (0, 1].
    degrade : float
        Share of the faults of old photographs in the luma, in [0, 1], see :mod:`fastcolor.training.degrade`; 0 is none.
    balance : float
        A photograph comes in proportion to ``count ** -balance``, count being that of the photographs of its source, in
        [0, 1]; see :mod:`fastcolor.training.mixture`.
    lam : float
        λ of the class rebalancing: 0 by inverse frequency, 1 not at all.
    soft : int
        Bins that share the target of a pixel, see :func:`fastcolor.encode_soft`; 0 is the nearest alone.
    sigma : float
        σ of the soft targets, in the units of the chroma.
    distance : float
        Weight of the distance between the mean color and the label's beside the cross entropy, see
        :func:`fastcolor.training.distance.mean_distance`; 0 is none.
    rate, schedule, warmup, decay
        Peak learning rate and :func:`fastcolor.training.schedule.rate`.
    encoder_rate : float
        The encoder's learning rate, relative to `rate`.
    freeze : int
        Blocks of the encoder that are not trained, counted from the stem, which is not trained with them; 0 is none.
    weight_decay : float
        Decoupled (AdamW), of convolutions; biases and batch normalisation have none. 0 is Adam.
    drop_path, dropout : float
        Stochastic depth of the encoder's deepest block, rising linearly from 0 at the first; dropout of the channels of
        the deepest map.
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
        If a value is out of range, or is for an encoder that the network has not.
    """

    network: UNetConfig = field(default_factory=UNetConfig)
    steps: int = 20_000
    batch: int = 64
    minutes: float = 0.0
    loader: str = "workers"
    size: int = 256
    augment: str = "paper"
    area: float = RANDOM_AREA
    degrade: float = 0.0
    balance: float = 0.0
    lam: float = 0.2
    soft: int = 0
    sigma: float = SOFT_SIGMA
    distance: float = 0.0
    rate: float = 1e-3
    schedule: str = "two-step"
    warmup: int = 0
    decay: int = 0
    encoder_rate: float = 1.0
    freeze: int = 0
    weight_decay: float = 0.0
    drop_path: float = 0.0
    dropout: float = 0.0
    clip: float = 0.0
    average: float = 0.999
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, options in (("loader", LOADERS), ("augment", tuple(VARIANTS)), ("schedule", SCHEDULES)):
            checks.choice(name, getattr(self, name), options)
        for name in ("steps", "batch", "size"):
            checks.integer(name, getattr(self, name), 1)
        for name in ("warmup", "decay", "seed", "freeze"):
            checks.integer(name, getattr(self, name), 0)
        checks.integer("soft", self.soft, 0, min(self.network.bins, MAX_NEIGHBORS))
        for name in ("minutes", "rate", "weight_decay", "clip", "encoder_rate", "distance"):
            checks.real(name, getattr(self, name), 0.0)
        for name in ("area", "sigma"):
            checks.positive(name, getattr(self, name))
        for name in ("lam", "average", "area", "degrade", "balance", "drop_path", "dropout"):
            checks.real(name, getattr(self, name), 0.0, 1.0)
        if not isinstance(self.bfloat16, bool):
            raise TypeError(f"bfloat16: expected true or false, got {self.bfloat16!r}")
        if self.loader == "device" and self.augment not in IN_BATCHES:
            raise ValueError(
                f"loader: 'device' makes the samples of augment={' or '.join(map(repr, IN_BATCHES))}, "
                f"got augment={self.augment!r}"
            )
        self._check_encoder()

    def _check_encoder(self) -> None:
        """What is said of an encoder is an error where the network has none of its own."""
        neutral = {"encoder_rate": 1.0, "freeze": 0, "drop_path": 0.0, "dropout": 0.0}
        if self.network.encoder == "plain":
            for name, value in neutral.items():
                if getattr(self, name) != value:
                    raise ValueError(
                        f"{name}: expected {value:g} for a network with encoder='plain', got {getattr(self, name):g}"
                    )
