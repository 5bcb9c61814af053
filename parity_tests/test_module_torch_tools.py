"""PyTorch's modules among PyTorch's tools: products, parts that tools look for, graphs, several processes, exports."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.worker import Worker
from acz.foundation.arrays import Array, Arrays
from acz.reference.bounds import ROUNDING
from parity_tests.conftest import require
from parity_tests.module_cases import EXPERTS, padded_inputs, tensors, without_dropout
from parity_tests.run_cases import type_command
from tests.conftest import TINY

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Product:
    """The sizes of a product, and the threads that compute it."""

    threads: int
    shapes: list[tuple[int, int, int]]


def product_job(backend: Any, arguments: Product, arrays: Mapping[str, Array]) -> tuple[list[float], Arrays]:
    """A job: how far products with a large bias are from float64, relative to the largest value, for each shape."""
    import torch
    from acz_torch.base import linear

    backend.set_threads(arguments.threads)
    torch.manual_seed(0)
    distances = []
    for rows, features, units in arguments.shapes:
        x, weight, bias = torch.rand(rows, features), torch.randn(features, units) * features**-0.5, torch.randn(units)
        y, exact = linear(x, weight, 8 * bias).double(), x.double() @ weight.double() + 8 * bias.double()
        distances.append(float((y - exact).abs().max() / exact.abs().max()))
    backend.set_threads(1)
    return distances, {}


@pytest.mark.parametrize("threads", [1, 2])
def test_products_of_few_rows_round_as_those_of_many(threads: int, worker: Callable[[str], Worker]) -> None:
    widths = [(1152, 20), (1152, 3862), (50, 1024), (128, 64), (3072, 1024)]
    shapes = [(rows, *width) for rows in (1, 2, 3, 4, 8, 16, 64) for width in widths]
    distances, _ = worker("torch").run(product_job, Product(threads, shapes))
    for shape, distance in zip(shapes, distances, strict=True):
        assert distance < 4 * ROUNDING, shape


def test_a_freshly_trained_baseline_is_exported(tmp_path: Path) -> None:
    require("torch")
    sets = {
        "train.epochs": 1,
        "train.batch_size": 50,
        "data.reading.classes": 20,
        "model.trunk.logits.units": 20,
    }
    words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    for command in (
        ("data", "youtube8m", "synthesize", "--videos", 200, "--classes", 20, "--out", "shards"),
        ("train", "youtube8m/frame_average:small", "--backend", "torch", "--data", "shards", *words, "--out", "run"),
        ("export", "run", "--format", "pt2", "--out", "model.pt2"),
    ):
        answer = type_command(*command, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
    checks = json.loads((tmp_path / "model.pt2.report.json").read_text())["checks"]
    assert max(check["measured"] / check["bound"] for check in checks if check["batch"].startswith("plain")) < 0.5


def tools_job(backend: Any, arguments: None, arrays: Mapping[str, Array]) -> tuple[dict[str, Any], Arrays]:
    """A job: PyTorch's tools that walk a module's parts, a layer of PyTorch's own, and copies of lower precision."""
    import torch
    from acz_torch.layers import to_linears
    from torch import nn

    start, inputs = acz.build(EXPERTS, "torch"), tensors(arrays)
    batches = [{name: value[place::2] for name, value in inputs.items()} for place in range(2)]
    facts: dict[str, Any] = {}

    averaged = without_dropout(copy.deepcopy(start))
    torch.optim.swa_utils.update_bn(batches, averaged)
    norms = [name for name, part in averaged.named_modules() if isinstance(part, nn.BatchNorm1d)]
    first = averaged.get_submodule(norms[0])
    single = []
    for batch in batches:
        alone = without_dropout(copy.deepcopy(start))
        alone.get_submodule(norms[0]).momentum = 1.0
        alone(batch)
        single.append(alone.get_submodule(norms[0]).running_variance)
    facts["norms"] = len(norms)
    facts["update_bn"] = float(
        (first.running_variance - sum(single) / 2).abs().max() / first.running_variance.abs().max()
    )

    try:
        nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(start))
    except AttributeError as error:
        facts["convert_sync_batchnorm"] = str(error)

    evaluated = copy.deepcopy(start).eval()
    dense = to_linears(copy.deepcopy(evaluated))
    quantised = torch.ao.quantization.quantize_dynamic(dense, {nn.Linear}, dtype=torch.qint8)
    with torch.no_grad():
        output = evaluated(inputs)
        facts["linears"] = sum(isinstance(part, nn.Linear) for part in dense.modules())
        facts["to_linears"] = float((dense(inputs) - output).abs().max())
        facts["quantised"] = float((quantised(inputs) - output).abs().max())

    tuned = acz.build(TINY, "torch")
    tuned.requires_grad_(False)
    tuned.trunk["logits"] = nn.Linear(tuned.trunk["logits"].weight.shape[0], 9)
    features = torch.ones(2, 5, 4)
    tuned(features).sum().backward()
    facts["head"] = list(tuned(features).shape)
    facts["trained"] = [name for name, parameter in tuned.named_parameters() if parameter.grad is not None]
    return facts, {}


def test_tools_that_walk_a_module_do_their_work_or_say_so(worker: Callable[[str], Worker]) -> None:
    facts, _ = worker("torch").run(tools_job, None, padded_inputs(acz.load_spec(EXPERTS)))
    assert facts["norms"] > 2
    assert facts["update_bn"] < 1e-5
    assert "acz_torch.model.synchronise" in facts["convert_sync_batchnorm"]
    assert facts["linears"] >= 6
    assert facts["to_linears"] < 1e-6
    assert 0 < facts["quantised"] < 0.02
    assert facts["head"] == [2, 9]
    assert facts["trained"] == ["trunk.logits.weight", "trunk.logits.bias"]


def graph_job(backend: Any, arguments: None, arrays: Mapping[str, Array]) -> tuple[dict[str, float], Arrays]:
    """A job: traced, compiled and exported modules beside the module itself, for other numbers of videos and frames."""
    import torch
    from torch.export import Dim

    start = without_dropout(acz.build(EXPERTS, "torch"))
    few, many = (
        tensors(arrays),
        {name: torch.cat([value, value[:, ::2].flip(0)], 1) for name, value in tensors(arrays).items()},
    )
    many = {name: torch.cat([value, value]) for name, value in many.items()}
    distances = {}

    def train(module: Any, statistics: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        for _ in range(2):
            module(batch).square().sum().backward()
        return {name: value.clone() for name, value in statistics.named_buffers()}

    plain = copy.deepcopy(start)
    wanted = train(plain, plain, many)
    traced = copy.deepcopy(start)
    graph = torch.jit.trace(traced, (few,), strict=False, check_trace=False)
    traced.load_state_dict(start.state_dict())
    compiled = copy.deepcopy(start)
    for name, module, own in (
        ("traced", graph, traced),
        ("compiled", torch.compile(compiled, backend="aot_eager"), compiled),
    ):
        moved = train(module, own, many)
        distances[f"{name}, statistics"] = max(float((moved[key] - wanted[key]).abs().max()) for key in wanted)
    start.eval()
    sides = {name: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for name in few}
    program = torch.export.export(start, (few,), dynamic_shapes=(sides,)).module()
    one = acz.build(TINY, "torch").eval()
    tensor = torch.export.export(
        one, (torch.ones(3, 5, 4),), dynamic_shapes=({0: Dim.DYNAMIC, 1: Dim.DYNAMIC},)
    ).module()
    with torch.no_grad():
        traced = torch.jit.trace(start, (few,), strict=False)
        distances["traced"] = float((traced(many) - start(many)).abs().max())
        distances["exported"] = float((program(many) - start(many)).abs().max())
        x = torch.arange(56.0).reshape(2, 7, 4) / 56
        distances["exported, a tensor"] = float((tensor(x) - one(x)).abs().max())
    return distances, {}


def test_graphs_of_a_module_compute_the_same_and_move_its_statistics(worker: Callable[[str], Worker]) -> None:
    distances, _ = worker("torch").run(graph_job, None, padded_inputs(acz.load_spec(EXPERTS)))
    assert len(distances) == 5
    assert {name: distance for name, distance in distances.items() if not distance < 1e-5} == {}


@dataclass(frozen=True)
class Folder:
    """A folder in which two processes meet."""

    path: Path


def meet(rank: int, folder: str, arrays: Arrays, labels: Array) -> None:
    """One of two processes: the gradients and statistics of every other video, through DistributedDataParallel."""
    import torch
    from acz_torch.model import synchronise
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    module = synchronise(without_dropout(acz.build(EXPERTS, "torch", precision="float64", logits=True)))
    inputs = {name: value[rank::2] for name, value in tensors(arrays).items()}
    ddp = DistributedDataParallel(module)
    torch.nn.functional.binary_cross_entropy(ddp(inputs), torch.from_numpy(labels)[rank::2]).backward()
    found = {f"gradient/{name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    found |= {f"statistic/{name}": value for name, value in module.named_buffers()}
    np.savez(f"{folder}/{rank}.npz", **{name: value.numpy() for name, value in found.items()})
    torch.distributed.barrier()  # gloo aborts a process whose peer has left
    torch.distributed.destroy_process_group()


def meeting_job(backend: Any, arguments: Folder, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: two processes, and the same in one."""
    import torch

    inputs = {name: value for name, value in arrays.items() if name != "labels"}
    torch.multiprocessing.spawn(meet, (str(arguments.path), inputs, arrays["labels"]), nprocs=2)
    module = without_dropout(acz.build(EXPERTS, "torch", precision="float64", logits=True))
    torch.nn.functional.binary_cross_entropy(module(tensors(inputs)), torch.from_numpy(arrays["labels"])).backward()
    found = {f"gradient/{name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    found |= {f"statistic/{name}": value for name, value in module.named_buffers()}
    return None, {name: value.numpy() for name, value in found.items()}


def test_two_processes_train_as_one(tmp_path: Path, worker: Callable[[str], Worker]) -> None:
    spec = acz.load_spec(EXPERTS)
    inputs = padded_inputs(spec, videos=8)
    labels = np.random.default_rng(1).integers(0, 2, (8, spec.width)).astype(np.float64)
    _, wanted = worker("torch").run(meeting_job, Folder(tmp_path), inputs | {"labels": labels})
    ranks = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    assert len([name for name in wanted if name.startswith("statistic")]) > 4
    for name, value in wanted.items():
        assert np.array_equal(ranks[0][name], ranks[1][name]), f"{name} is not synchronised"
        assert np.abs(ranks[0][name] - value).max() <= 1e-10 * max(np.abs(value).max(), 1e-3), name
