from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.core.errors import DataError
from steelyard.data.clouds.text import read_text


def read(tmp_path: Path, content: str):
    (tmp_path / "a.xyz").write_text(content)
    return read_text(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    "content",
    [
        "1 2 3 7\n4 5 6 8\n",
        "1,2,3,7\n4,5,6,8",
        "# a scan\n1;2;3;7\n4;5;6;8\n",
        "\n1\t2\t3\t7\n4\t5\t6\t8\n",
        "  1   2 3  7\n4 5 6 8\n",
        "//X Y Z c4\n1 2 3 7\n4 5 6 8\n",
        '"X","Y","Z","c4"\n1,2,3,7\n4,5,6,8\n',
        "c4,z,y,x\n7,3,2,1\n8,6,5,4\n",
        "#x,y,z,c4\n1,2,3,7\n4,5,6,8\n",
    ],
)
def test_the_usual_forms(content: str, tmp_path: Path) -> None:
    cloud = read(tmp_path, content)
    assert cloud.xyz.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.columns["c4"].tolist() == [7, 8]


@pytest.mark.parametrize(
    "content",
    [
        "1,5;2,25;-0,5;7\n4;5;6,5;8\n",
        "1,5 2,25 -0,5 7\n4 5 6,5 8\n",
        "1,5\t2,25\t-0,5\t7\n4,0\t5\t6,5\t8\n",
        "x;y;z;c4\n1,5;2,25;-5e-1;7\n4;5;6,5;8\n",
        "x y z c4\n1,5 2,25 -0,5 7\n4,0 5,0 6,5 8\n",
        "y;x;z;c4\n2,25;1,5;-0,5;7\n5;4;6,5;8\n",
    ],
)
def test_numbers_may_have_decimal_commas(content: str, tmp_path: Path) -> None:
    cloud = read(tmp_path, content)
    assert cloud.xyz.tolist() == [[1.5, 2.25, -0.5], [4, 5, 6.5]]
    assert cloud.columns["c4"].tolist() == [7, 8]


def test_decimal_commas_may_come_late(tmp_path: Path) -> None:
    assert read(tmp_path, "1;2;3\n4;5,5;6\n").xyz.tolist() == [[1, 2, 3], [4, 5.5, 6]]
    assert read(tmp_path, "1.5\t2.5\t3.5\tleaf, wood\n").xyz.tolist() == [[1.5, 2.5, 3.5]]


def test_words_are_columns_too(tmp_path: Path) -> None:
    assert read(tmp_path, "x y z kind\n1 2 3 wood\n4 5 6 leaf\n").columns["kind"].tolist() == ["wood", "leaf"]


def test_a_missing_coordinate_is_found_when_the_cloud_is_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing or infinite"):
        read(tmp_path, "x,y,z\n1,2,nan\n4,5,6\n").check()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no points"),
        ("1 2\n3 4\n", "at least three columns"),
        ("x,y,height\n1,2,3\n", "no column 'z'"),
        ("x,y,z\n1,two,3\n", "no numbers in column 'y'"),
        ("x,y,z\n1,2,3,4\n", "names 3 columns"),
        ("x,y,z\n1,5,2,5,3,5\n", "decimal commas.*semicolons"),
        ("x;y;z\n1,5;two;3,5\n", "in column 'y', such as 'two'"),
        ("x;y;z\n1,5;2.5;3,5\n1;1,1;1\n", "in column 'y', such as '2.5'"),
        ("1 2 3\n1 2 3 4 5\n", "cannot be read as points"),
        ("x y z\n", "cannot be read as points"),
    ],
)
def test_what_is_wrong_is_said(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, content)


def test_bytes_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="is not text"):
        read_text(tmp_path / "a.xyz")
