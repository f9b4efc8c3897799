from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.encoded import decode
from steelyard.data.parquet_images import image_column_of, read_parquet_images


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [png(value) for value in range(6)]
LABELS = [0, 0, 0, 1, 1, 1]


def written(folder: Path, metadata: dict[str, str] | None = None, **columns: Any) -> Path:
    path = folder / "pics.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize(
    "images",
    [IMAGES, pa.array(IMAGES, pa.large_binary()), [{"bytes": image, "path": None} for image in IMAGES]],
    ids=["binary", "large", "hugging face"],
)
def test_columns_of_images(tmp_path: Path, images: Any) -> None:
    path = written(tmp_path, image=images, label=LABELS)
    assert image_column_of(path) == "image"
    part, names, target = read_parquet_images(path)
    assert (part.labels.tolist(), names, target) == (LABELS, None, "label")
    assert decode(part.inputs).pixels[:, 0, 0, 0].tolist() == list(range(6))


def test_several_row_groups_are_one_column(tmp_path: Path) -> None:
    path = tmp_path / "pics.parquet"
    pq.write_table(pa.table({"image": IMAGES, "label": LABELS}), path, row_group_size=2)
    assert len(read_parquet_images(path)[0].inputs) == 6


def test_the_target_is_the_only_other_column_or_one_of_a_usual_name(tmp_path: Path) -> None:
    assert read_parquet_images(written(tmp_path, image=IMAGES, kind=LABELS))[2] == "kind"
    assert read_parquet_images(written(tmp_path, image=IMAGES, split=LABELS, label=LABELS))[2] == "label"
    two = written(tmp_path, image=IMAGES, coarse=LABELS, fine=LABELS)
    assert read_parquet_images(two, "fine")[2] == "fine"
    with pytest.raises(ArgumentError, match="one of: coarse, fine"):
        read_parquet_images(two)
    with pytest.raises(UnknownName, match="did you mean 'coarse'"):
        read_parquet_images(two, "coars")
    with pytest.raises(UnknownName, match="'image'"):
        read_parquet_images(two, "image")


def test_class_names_in_the_metadata(tmp_path: Path) -> None:
    path = written(tmp_path, {"classes": json.dumps(["cat", "dog"])}, image=IMAGES, label=LABELS)
    assert read_parquet_images(path)[1] == ("cat", "dog")
    features = {"info": {"features": {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}}
    path = written(tmp_path, {"huggingface": json.dumps(features)}, image=IMAGES, label=LABELS)
    assert read_parquet_images(path)[1] == ("ant", "bee")
    for broken in ({"classes": "[cat"}, {"classes": "3"}, {"huggingface": "{}"}):
        assert read_parquet_images(written(tmp_path, broken, image=IMAGES, label=LABELS))[1] is None


def test_labels_of_any_type(tmp_path: Path) -> None:
    text = pa.array(["a", "a", "a", "b", "b", "b"]).dictionary_encode()
    assert read_parquet_images(written(tmp_path, image=IMAGES, label=text))[0].labels.tolist() == list("aaabbb")


@pytest.mark.parametrize("nothing", [b"", None])
def test_empty_images_are_counted_and_named(tmp_path: Path, nothing: bytes | None) -> None:
    path = written(tmp_path, image=[*IMAGES[:4], nothing, nothing], label=LABELS)
    with pytest.raises(DataError, match=r"2 empty images \(0 bytes\) in column 'image', the first in row 4"):
        read_parquet_images(path)


def test_files_without_rows_or_images(tmp_path: Path) -> None:
    empty = written(tmp_path, image=pa.array([], pa.binary()), label=pa.array([], pa.int64()))
    with pytest.raises(DataError, match="a header but no rows"):
        read_parquet_images(empty)
    assert image_column_of(written(tmp_path, x=[1.0], y=[2])) is None
    assert image_column_of(tmp_path / "table.csv") is None
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(np.random.default_rng(0).bytes(200))
    with pytest.raises(DataError, match=r"cannot read .*broken.parquet"):
        image_column_of(broken)
