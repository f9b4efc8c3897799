"""Tasks by modality: images, tables, and arrays for everything else that a model can take as it is."""

from steelyard.tasks.arrays import ArrayTask
from steelyard.tasks.images import ImageTask
from steelyard.tasks.models import Model, builder
from steelyard.tasks.tables import TableTask

__all__ = ["ArrayTask", "ImageTask", "Model", "TableTask", "builder"]
