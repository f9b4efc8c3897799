"""Which rows are drawn: samplers that give rare classes more turns.

Each is a factory `(targets, *, seed, rank, world_size)`, as `Stage(sampler=...)` wants it; settings go in with
`functools.partial(PowerSampler, power=0.25)`.
"""

from steelyard.core.sampler import Sampler, ShuffledSampler
from steelyard.samplers.balanced import BalancedSampler
from steelyard.samplers.batched import Batched
from steelyard.samplers.by_class import ClassSampler
from steelyard.samplers.deferred import DeferredSampler
from steelyard.samplers.episodes import EpisodeSampler
from steelyard.samplers.power import PowerSampler
from steelyard.samplers.progressive import ProgressiveSampler
from steelyard.samplers.under import UnderSampler

__all__ = [
    "BalancedSampler",
    "Batched",
    "ClassSampler",
    "DeferredSampler",
    "EpisodeSampler",
    "PowerSampler",
    "ProgressiveSampler",
    "Sampler",
    "ShuffledSampler",
    "UnderSampler",
]
