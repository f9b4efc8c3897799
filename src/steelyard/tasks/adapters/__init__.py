"""Images through a pre-trained backbone with an adapter (LoRA and its kin)."""

from steelyard.tasks.adapters.adapt import Adapter, attach
from steelyard.tasks.adapters.backbone import Backbone, load_backbone
from steelyard.tasks.adapters.classifier import AdaptedClassifier
from steelyard.tasks.adapters.task import AdapterTask

__all__ = ["AdaptedClassifier", "Adapter", "AdapterTask", "Backbone", "attach", "load_backbone"]
