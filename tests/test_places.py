"""Parts of a batch, and the buckets in which gradients travel. Needs no framework."""

from __future__ import annotations

import pytest

from acz.backend.processes import Cluster, Place, fill_buckets


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_the_parts_of_a_batch_are_all_of_it_in_order_and_nearly_equal(world: int) -> None:
    places = [Place(rank, world, rank, world, "127.0.0.1", "hand") for rank in range(world)]
    for videos in range(world, 30):
        parts = [range(videos)[place.part(videos)] for place in places]
        assert [video for part in parts for video in part] == list(range(videos))
        lengths = {len(part) for part in parts}
        assert min(lengths) > 0
        assert max(lengths) - min(lengths) <= 1


def test_no_two_processes_of_a_cluster_have_one_endpoint() -> None:
    cluster = Cluster(("a", "b"), 3, 6070)
    endpoints = [cluster.endpoint(rank) for rank in range(cluster.world)]
    assert endpoints == ["a:6070", "a:6071", "a:6072", "b:6070", "b:6071", "b:6072"]


@pytest.mark.parametrize(
    ("sizes", "buckets"),
    [
        ([], []),
        ([4], [[0]]),
        ([4, 6, 1], [[0, 1], [2]]),
        ([11, 1, 1], [[0], [1, 2]]),
        ([1, 11, 12, 9, 1], [[0], [1], [2], [3, 4]]),
        ([11, 0, 10], [[0], [1, 2]]),
        ([0, 0, 10], [[0, 1, 2]]),
    ],
)
def test_arrays_share_a_bucket_while_there_is_room_and_a_large_one_is_alone(
    sizes: list[int], buckets: list[list[int]]
) -> None:
    assert fill_buckets(sizes, 10) == buckets
