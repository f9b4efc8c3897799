"""Labels travel with their examples."""

import pytest
import torch
from label_sets import examples

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import LABEL_SETS
from steelyard.core.task import Part
from steelyard.data import ResidentSource
from steelyard.tasks.multi_label import LabelledSource, example_classes
from steelyard.tasks.multi_label.sources import label_counts, labels_of


@pytest.fixture
def source():
    inputs, labels = examples(30, 0, missing=0.2)
    target = example_classes(labels, label_counts(labels))
    return LabelledSource(ResidentSource(inputs, torch.zeros(30, dtype=torch.int64)), labels, target)


def test_labels_come_with_the_inputs_they_belong_to(source):
    batches = [torch.tensor([3, 3, 0]), torch.tensor([29])]
    for index, inputs in source.to(torch.device("cpu")).stream(batches):
        assert torch.equal(inputs["inputs"], source.whole.inputs[index])
        assert torch.equal(inputs[LABEL_SETS].isnan(), source.labels[index].isnan())
        assert torch.equal(inputs[LABEL_SETS].nan_to_num(), source.labels[index].nan_to_num())


def test_a_part_has_the_labels_of_its_rows(source):
    rows = torch.tensor([4, 1, 7])
    assert torch.equal(labels_of(Part(source, rows)).nan_to_num(-1), source.labels[rows].nan_to_num(-1))
    with pytest.raises(ArgumentError, match="several labels"):
        labels_of(source.whole)


def test_counts_leave_out_what_is_not_known():
    _, labels = examples(200, 1, missing=0.3)
    counts = label_counts(labels).view(-1, 2)
    for place in range(labels.shape[1]):
        own = labels[:, place].tolist()
        assert counts[place].tolist() == [own.count(0.0), own.count(1.0)]
    assert int(counts.sum()) == int((~labels.isnan()).sum())


def test_an_example_stands_for_the_rarest_class_it_has():
    _, labels = examples(100, 2, missing=0.2)
    counts = label_counts(labels)
    for own, found in zip(labels, example_classes(labels, counts).tolist(), strict=True):
        has = [2 * place + int(value) for place, value in enumerate(own.tolist()) if value == value]
        assert found in has or not has
        assert not has or counts[found] == min(counts[one] for one in has)


def test_lengths_must_agree(source):
    with pytest.raises(ArgumentError, match="as many rows as there are examples"):
        LabelledSource(source.whole, source.labels[1:], source.target)
