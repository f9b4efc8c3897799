"""Few-shot learners: networks that label the queries of an episode from a support that may be imbalanced."""

from steelyard.nets.episodic.adapting import MAML, ProtoMAML
from steelyard.nets.episodic.btaml import BTAML
from steelyard.nets.episodic.dkt import DKT
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored
from steelyard.nets.episodic.finetune import Baseline
from steelyard.nets.episodic.matching import MatchingNet
from steelyard.nets.episodic.nearest import NearestNeighbours, SimpleShot
from steelyard.nets.episodic.prototypes import CosinePrototypes, ProtoNet
from steelyard.nets.episodic.rebalance import Rebalance
from steelyard.nets.episodic.relation import RelationNet

__all__ = [
    "BTAML",
    "DKT",
    "MAML",
    "Baseline",
    "CosinePrototypes",
    "Episode",
    "FewShotLearner",
    "MatchingNet",
    "NearestNeighbours",
    "ProtoMAML",
    "ProtoNet",
    "Rebalance",
    "RelationNet",
    "Scored",
    "SimpleShot",
]
