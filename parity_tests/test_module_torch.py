"""PyTorch's modules as PyTorch's users call them: inputs and masks, mode, logits, copies, and precision."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.worker import Worker
from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import InputError
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.reference.bounds import MARGIN, difference
from acz.reference.execution import forward
from parity_tests.module_cases import EXPERTS, padded_inputs, page_programs, tensors, tiny_specs, without_dropout
from tests.conftest import TINY

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture
def run(worker: Callable[[str], Worker]) -> Run:
    """Run a job in PyTorch's process."""
    return lambda job, arguments=None, arrays=None: worker("torch").run(job, arguments, arrays)


def call_job(backend: Any, arguments: None, arrays: Mapping[str, Array]) -> tuple[dict[str, str], Arrays]:
    """A job: outputs of a module by the form of its call, and the errors of wrong calls."""
    import torch

    module = acz.build(TINY, "torch").eval()
    x, mask = (torch.from_numpy(arrays[name]) for name in ("features", "features.mask"))
    right: dict[str, Callable[[], Any]] = {
        "dictionary": lambda: module({"features": x, "features.mask": mask}),
        "dictionary of names": lambda: module({"features": x, "features_mask": mask}),
        "names": lambda: module(features=x, features_mask=mask),
    }
    for kind in ("bool", "uint8", "int32", "int64", "float16", "float32"):
        right[kind] = lambda kind=kind: module(features=x, features_mask=3 * mask.to(getattr(torch, kind)))
    wrong: dict[str, Callable[[], Any]] = {
        "name": lambda: module(x=x),
        "nothing": lambda: module(),
        "both": lambda: module(x, features_mask=mask),
        "mask of one": lambda: module(features=x, features_mask=mask[:1, :1]),
        "features": lambda: module(x[:, :, 1:]),
        "array": lambda: module(x.numpy()),
    }
    errors = {}
    with torch.no_grad():
        outputs = {name: call().numpy() for name, call in right.items()}
        outputs["unmasked"] = module(x).numpy()
        for name, call in wrong.items():
            try:
                call()
            except InputError as error:
                errors[name] = str(error)
    return errors, outputs


def test_a_module_takes_its_inputs_in_every_documented_form(run: Run) -> None:
    spec = acz.load_spec(TINY)
    inputs = padded_inputs(spec)
    errors, outputs = run(call_job, None, inputs)
    unmasked = outputs.pop("unmasked")
    wanted = forward(spec, initial_parameters(spec, 0), inputs)["output"]
    for name, output in outputs.items():
        assert difference(output, wanted) < 1e-5, name
    assert difference(unmasked, wanted) > 1e-3, "the mask changes nothing"
    assert sorted(errors) == ["array", "both", "features", "mask of one", "name", "nothing"]
    assert all("\n" not in error for error in errors.values())


def mode_job(backend: Any, arguments: None, arrays: Mapping[str, Array]) -> tuple[dict[str, bool], Arrays]:
    """A job: the mode of a fresh module, its dropout, its logits through its own call, and its copies."""
    import torch

    module, inputs = acz.build(EXPERTS, "torch", logits=True), tensors(arrays)
    facts = {"starts in training mode": all(part.training for part in module.modules())}
    facts["drops"] = not torch.equal(module(inputs), module(inputs))
    module.eval()
    copies = {"a copy": copy.deepcopy(module), "a pickle": pickle.loads(pickle.dumps(module))}
    with torch.no_grad():
        logits = module(inputs)
        module.returns_logits = False
        facts["finishes"] = torch.equal(module.finish(logits), module(inputs))
        for name, copied in copies.items():
            facts[f"{name} gives logits"] = copied.returns_logits and torch.equal(copied(inputs), logits)
            for parameter in copied.parameters():
                parameter.add_(1.0)
            facts[f"{name} is independent"] = not torch.equal(copied(inputs), logits)
        facts["stays as it was"] = torch.equal(module.logits(inputs), logits)
        output = module(inputs).numpy()
    facts["acz evaluates"] = np.array_equal(backend.forward(module.train(), arrays)["output"], output)
    return facts, {}


def test_a_module_starts_in_training_mode_and_gives_logits_through_its_own_call(run: Run) -> None:
    facts, _ = run(mode_job, None, padded_inputs(acz.load_spec(EXPERTS)))
    assert len(facts) == 9
    assert [name for name, holds in facts.items() if not holds] == []


@dataclass(frozen=True)
class PrecisionArguments:
    """A model, and a type less precise than float32."""

    spec: Spec
    kind: str


@dataclass(frozen=True)
class Precise:
    """Relative differences from float64 by what is compared, those of rounded parameters and inputs, and broken promises."""

    measured: dict[str, float]
    rounded: dict[str, float]
    broken: list[str]


def precision_job(backend: Any, arguments: PrecisionArguments, arrays: Mapping[str, Array]) -> tuple[Precise, Arrays]:
    """A job: outputs and gradients by autocast and of a cast module, in both modes, and a step of each."""
    import torch

    kind = getattr(torch, arguments.kind)
    start = without_dropout(acz.build(arguments.spec, "torch"))
    inputs = tensors(arrays)

    def sweep(module: Any, given: Mapping[str, Any], training: bool, automatic: bool) -> tuple[Any, ...]:
        module.train(training)
        with torch.autocast("cpu", kind, enabled=automatic):
            output = module(given)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(output.double().square().sum(), trained, materialize_grads=True)
        statistics = [value.double() for value in module.buffers()] or [torch.ones(1)]
        whole = (torch.cat([value.double().flatten() for value in values]) for values in (gradients, statistics))
        return output.detach().double(), *whole

    def far(value: Any, other: Any) -> float:
        return float((value - other).norm() / other.norm()) if bool(value.isfinite().all()) else float("inf")

    def rounding(value: Any) -> Any:
        return value.to(kind).double() if value.is_floating_point() else value

    measured, rounded, broken = {}, {}, []
    for training in (False, True):
        mode = "training" if training else "evaluation"
        exact = sweep(copy.deepcopy(start).double(), inputs, training, False)
        lossy = copy.deepcopy(start).to(kind).double()
        near = sweep(lossy, {name: rounding(value) for name, value in inputs.items()}, training, False)
        modules = {"autocast": copy.deepcopy(start), "cast": copy.deepcopy(start).to(kind)}
        for name, module in modules.items():
            found = sweep(module, inputs, training, name == "autocast")
            for place, what in enumerate(("outputs", "gradients", "statistics")):
                measured[f"{mode}, {name}, {what}"] = far(found[place], exact[place])
                rounded[f"{mode}, {name}, {what}"] = far(near[place], exact[place])
            broken += [
                f"{name}: {path} is {value.dtype}"
                for path, value in module.named_buffers()
                if value.dtype != torch.float32
            ]
    masks = {name: torch.zeros_like(value) for name, value in inputs.items() if name.endswith(".mask")}
    for name, module in {"autocast": start, "cast": copy.deepcopy(start).to(kind)}.items():
        output, gradients, _ = sweep(module, inputs | masks, False, name == "autocast")
        if not (output.isfinite().all() and gradients.isfinite().all()):
            broken.append(f"{name}: videos without a valid frame are not finite")
    module = copy.deepcopy(start).train()
    optimizer, scaler = torch.optim.Adam(module.parameters(), lr=0.01), torch.amp.GradScaler("cpu", init_scale=128)
    losses = []
    for _ in range(6):
        with torch.autocast("cpu", kind):
            output = module(inputs)
        loss = output.float().square().sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    if not losses[-1] < losses[0]:
        broken.append(f"the loss does not fall: {losses}")
    return Precise(measured, rounded, broken), {}


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", tiny_specs())
def test_a_module_follows_autocast_and_casts(name: str, kind: str, run: Run) -> None:
    spec = tiny_specs()[name]
    precise, _ = run(precision_job, PrecisionArguments(spec, kind), padded_inputs(spec, videos=24))
    epsilon = {"bfloat16": 2.0**-7, "float16": 2.0**-10}[kind]
    assert precise.broken == []
    for what, measured in precise.measured.items():
        # rounded activations move the deviations by which a batch norm divides, and the choice of a maximum
        margin = MARGIN * (1 if what.startswith("evaluation") and what.endswith("outputs") else 4)
        assert measured <= margin * max(precise.rounded[what], epsilon), what


@dataclass(frozen=True)
class Programs:
    """Programs of a page, in its order."""

    texts: list[str]


@dataclass(frozen=True)
class Trained:
    """Losses of a page's loops, and facts about the modules that they trained."""

    losses: list[list[float]]
    facts: dict[str, bool]


def page_job(backend: Any, arguments: Programs, arrays: Mapping[str, Array]) -> tuple[Trained, Arrays]:
    """A job: the first two programs of the page, which train."""
    import torch

    names: list[dict[str, Any]] = [{}, {}]
    for text, own in zip(arguments.texts, names, strict=False):
        exec(text, own)  # the page is part of this repository
    module, inputs = names[0]["module"].train(), names[0]["inputs"]
    facts = {"dropout drops": not torch.equal(module(**inputs), module(**inputs))}
    moved = dict(names[1]["module"].named_buffers())
    facts["statistics move"] = all(not torch.equal(value, moved[name]) for name, value in names[1]["start"].items())
    facts["rows are probabilities"] = bool(torch.allclose(names[0]["probabilities"].sum(1), torch.ones(32)))
    return Trained([own["losses"] for own in names], facts), {}


def test_the_loops_of_the_page_train(run: Run) -> None:
    trained, _ = run(page_job, Programs(page_programs("torch")[:2]))
    assert [name for name, holds in trained.facts.items() if not holds] == []
    for losses in trained.losses:
        assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])
