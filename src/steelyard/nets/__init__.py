"""Models: ResNet-32, a small CNN, an MLP for tables, and any timm or torchvision model by name."""

from steelyard.core.head import find_head
from steelyard.nets.by_name import build
from steelyard.nets.cosine_head import NormedLinear
from steelyard.nets.heads import with_head
from steelyard.nets.mlp import MLP
from steelyard.nets.resnet32 import ResNet32
from steelyard.nets.small_cnn import SmallCNN

__all__ = ["MLP", "NormedLinear", "ResNet32", "SmallCNN", "build", "find_head", "with_head"]
