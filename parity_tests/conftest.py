"""One worker process a backend, for the whole run of tests: two frameworks in one process crash."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points

import pytest

from acz.backend.registry import REFERENCE, infos, installed
from acz.backend.worker import Worker
from acz.exchange.artefacts.formats import ONNX, formats
from acz.foundation.errors import MissingError

pytest.register_assert_rewrite("parity_tests.parity_of_cases")


def own_backends() -> list[str]:
    """The registered backends of the distribution `acz`, but for the reference.

    Others are tested by their own distributions.
    """
    own = {point.name for point in entry_points(group="acz.backends") if point.dist and point.dist.name == "acz"}
    return [name for name in infos() if name in own and name != REFERENCE]


BACKENDS = own_backends()
FORMATS = {name: made for name, made in formats().items() if made.participant in (ONNX, *BACKENDS)}
"""The formats that the core and these backends write, by name."""


LONGEST = (
    "test_parity_of_compact",
    "test_parity_of_layers",
    "test_parity",
    "test_documents",
    "test_processes",
    "test_ranks",
    "test_backends",
    "test_exports",
    "test_clients",
    "test_sweep",
    "test_ray",
    "test_module_mindspore",
    "test_mistakes",
    "test_convert",
)
"""The files that take longest, the longest first.

They begin first, so that two processes (`-n 2 --dist loadfile --no-loadscope-reorder`) end at about the same time.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the longest files to the front. The order inside a file stays."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that takes `case` one of its class's cases."""
    if "case" in metafunc.fixturenames and hasattr(metafunc.cls, "CASES"):
        metafunc.parametrize("case", metafunc.cls.CASES, ids=lambda case: case.model)


def require(backend: str) -> None:
    """Skip a backend that is not installed, unless ACZ_REQUIRE_BACKENDS says that all must be."""
    if backend in ("numpy", ONNX) or backend in installed():
        return
    if os.environ.get("ACZ_REQUIRE_BACKENDS"):
        pytest.fail(f"{backend} is not installed, and ACZ_REQUIRE_BACKENDS is set")
    pytest.skip(
        f"this environment is without {backend}; in one with all four, ACZ_REQUIRE_BACKENDS=all refuses to skip"
    )


def require_format(name: str) -> None:
    """Skip a format whose maker or runtime is not installed, or fail, as `require` does."""
    require(FORMATS[name].participant)
    try:
        FORMATS[name].require_installed()
    except MissingError as error:
        if os.environ.get("ACZ_REQUIRE_BACKENDS"):
            pytest.fail(f"{error}, and ACZ_REQUIRE_BACKENDS is set")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def worker() -> Iterator[Callable[[str], Worker]]:
    running: dict[str, Worker] = {}

    def of(backend: str) -> Worker:
        require(backend)
        if backend not in running:
            running[backend] = Worker(backend)
        return running[backend]

    yield of
    for process in running.values():
        process.close()
