from __future__ import annotations

import sys

import pytest

from steelyard.bench.cluster import run_jobs_on_ray
from steelyard.core.errors import SteelyardError


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SteelyardError, match=r"pip install 'steelyard\[ray\]'"):
        list(run_jobs_on_ray(len, ["a"], address="local", workers=1, threads=1, idle=lambda: None))


@pytest.mark.multiprocess
def test_a_cluster_that_is_not_there_is_named() -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'steelyard[ray]'")
    with pytest.raises(SteelyardError, match="no Ray cluster at 'nonsense:1'"):
        list(run_jobs_on_ray(len, ["a"], address="nonsense:1", workers=1, threads=1, idle=lambda: None))
