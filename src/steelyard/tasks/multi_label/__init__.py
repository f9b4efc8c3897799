"""Examples with several labels each: every label of an example is a row, and being absent or present are its two classes."""

from steelyard.tasks.multi_label.sources import LabelledSource, example_classes
from steelyard.tasks.multi_label.task import MultiLabelTask

__all__ = ["LabelledSource", "MultiLabelTask", "example_classes"]
