"""Models: ResNet-32, a small CNN, a small transformer, two networks for tables, any timm or torchvision model by name."""

from steelyard.core.head import find_head
from steelyard.nets.by_name import build
from steelyard.nets.conv4 import Conv4
from steelyard.nets.cosine_head import NormedLinear
from steelyard.nets.frozen_statistics import FrozenStatistics
from steelyard.nets.heads import head_parameters, reset_head, with_head
from steelyard.nets.mlp import MLP
from steelyard.nets.nearest_mean import NearestMean
from steelyard.nets.resnet32 import ResNet32
from steelyard.nets.scaled_scores import ScaledScores
from steelyard.nets.small_cnn import SmallCNN
from steelyard.nets.small_vit import SmallViT
from steelyard.nets.table_net import TableNet

__all__ = [
    "MLP",
    "Conv4",
    "FrozenStatistics",
    "NearestMean",
    "NormedLinear",
    "ResNet32",
    "ScaledScores",
    "SmallCNN",
    "SmallViT",
    "TableNet",
    "build",
    "find_head",
    "head_parameters",
    "reset_head",
    "with_head",
]
