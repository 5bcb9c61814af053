"""Low precisions in every backend: a few models and layers; `acz parity-check --precision bfloat16` takes all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from acz.api.parity import open_participants
from acz.backend.devices import check_precision, missing_precision, precisions_in_words
from acz.backend.registry import installed
from acz.backend.worker import Worker
from acz.foundation.arrays import Arrays
from acz.foundation.errors import MissingError
from acz.model.precision import Precision
from acz.parity.cases import cases
from acz.parity.comparison import compare_backends
from acz.parity.report import list_failures
from acz.parity.row import Row
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow

LOW = (Precision.BFLOAT16, Precision.FLOAT16, Precision.TF32)
MODELS = {
    "layers/net_fv": LOW[1:2],
    "layers/gates": LOW[1:2],
    "layers/circulant_frames": LOW[1:2],
    "flash_mnist/extractor": LOW[:1],
    "flash_mnist/attention_cluster_hidden": LOW,
}
"""Models, each with the precisions in which it is compared. Rounding is the same code in all of them."""


@pytest.fixture(scope="module")
def rows(worker: Callable[[str], Worker]) -> list[Row]:
    """The rows of all installed backends, so that each answer of the reference is computed once."""
    workers = {name: worker(name) for name in BACKENDS if name in installed()}
    participants = open_participants(list(workers))

    def compare(names: Collection[str], levels: Collection[int], precisions: Sequence[Precision]) -> list[Row]:
        chosen = [case for name in names for case in cases(name)]
        return compare_backends(chosen, participants, levels, workers=workers, precisions=precisions)

    compared = compare(["layers/batch_norm"], [3], LOW[1:2])
    for precisions in dict.fromkeys(MODELS.values()):
        compared += compare([name for name, own in MODELS.items() if own == precisions], [1, 2], precisions)
    return compared


def test_a_missing_precision_is_an_error_that_names_the_others() -> None:
    require("mindspore")
    with pytest.raises(
        MissingError,
        match="'mindspore' has no products in bfloat16 on the CPU; type --precision float64 or float32 or float16",
    ):
        check_precision("mindspore", Precision.BFLOAT16)
    check_precision("mindspore", Precision.BFLOAT16, "Ascend:0")
    check_precision("mindspore", Precision.FLOAT64)
    assert precisions_in_words("mindspore").endswith("; no tf32, bfloat16 on the CPU")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_low_precision_is_the_same_function(backend: str, rows: list[Row]) -> None:
    require(backend)
    own = [row for row in rows if row.backend == backend]
    assert not list_failures(own)
    here = {low.value for low in LOW if not missing_precision(backend, low)}
    assert {row.precision for row in own if row.passed} == here
    assert {row.level for row in own if row.passed} == {1, 2, 3}
    assert here >= {"float16"}


def multiply_twice(backend: Any, arguments: None, arrays: Any) -> tuple[list[float], Arrays]:
    """A job of PyTorch: a large product and its gradients as a model computes them, against rounded operands in float32."""
    import torch
    from acz_torch.products import bilinear, product

    worst = []
    for shape, other in (((64, 1024), (1024, 1024)), ((64, 32, 100), (64, 100, 512)), ((64, 512, 100), (64, 100, 32))):
        source = torch.Generator().manual_seed(0)
        x, w = (torch.randn(size, generator=source).requires_grad_() for size in (shape, other))
        ways = product(x, w, Precision.BFLOAT16), bilinear(torch.matmul, x, w, Precision.BFLOAT16)
        g = torch.randn(ways[0].shape, generator=source)
        ours, plain = ((y.detach(), *torch.autograd.grad(y, [x, w], g)) for y in ways)
        worst += [float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, plain, strict=True)]
    return worst, {}


def test_pytorchs_kernel_is_the_same_function(worker: Callable[[str], Worker]) -> None:
    differences, _ = worker("torch").run(multiply_twice, None)
    assert max(differences) < 1e-6
    assert len(differences) == 9


def read_modes(backend: Any, arguments: None, arrays: Any) -> tuple[list[Any], Arrays]:
    """A job of PyTorch: the modes of TF32 by both interfaces, after they were on and a model was built."""
    import torch
    from acz_torch.products import set_matrix_modes

    torch.backends.cudnn.allow_tf32 = True
    set_matrix_modes()
    older = [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]
    return [*older, torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision], {}


def test_both_interfaces_of_pytorch_say_that_tf32_is_off(worker: Callable[[str], Worker]) -> None:
    assert worker("torch").run(read_modes, None)[0] == [False, False, "ieee", "ieee"]
