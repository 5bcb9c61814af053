"""PyTorch keeps large weights packed between evaluations. Outputs are always those of the present weights."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from acz.backend.worker import Worker
from acz.foundation.arrays import Arrays
from acz.model.optimizer import Adam
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.reference.execution import forward
from parity_tests.conftest import require

pytestmark = pytest.mark.slow

SPEC = {
    "inputs": {"x": {"shape": [1024]}},
    "streams": {"x": {"input": "x", "layers": {"large": {"type": "dense", "units": 1024, "activation": "relu"}}}},
    "trunk": {"logits": {"type": "dense", "units": 3}},
}


@dataclass(frozen=True)
class PackedArguments:
    """A model of one large layer."""

    spec: Spec


@dataclass(frozen=True)
class Packed:
    """Evaluations with a packed weight, its release by training, its number of uses, and if this machine packs."""

    states: list[bool]
    released: bool
    uses: int
    here: bool


def evaluate_job(backend: Any, arguments: PackedArguments, arrays: Any) -> tuple[Packed, Arrays]:
    """A job: outputs before and after packing, for other numbers of rows, after training and loading, and of copies."""
    spec = arguments.spec
    model = backend.build(spec, "CPU", "float32")
    backend.load_parameters(model, initial_parameters(spec, 1))
    packed = model.x["large"].packed
    x, labels = arrays["x"], arrays["labels"]

    def output(of: Any = model, rows: int = len(x)) -> Any:
        return backend.forward(of, {"x": x[:rows]})["output"]

    states, outputs = [], {}
    for name in ("first", *(f"again {number}" for number in range(packed.AFTER)), "packed"):
        outputs[name] = output()
        states.append(packed.weight is not None)
    outputs |= {f"{rows} rows": output(rows=rows) for rows in (1, 3)}
    copies = {"copy": copy.deepcopy(model), "pickled": pickle.loads(pickle.dumps(model))}
    outputs |= {name: output(copied) for name, copied in copies.items()}
    trainer = backend.start_training(model, Adam(learning_rate=0.1), "projection")
    backend.training_step(trainer, {"x": x}, labels, {}, 0.1)
    released = model.x["large"].packed.weight is None
    outputs["trained"] = output()
    outputs |= {f"parameters/{path}": value for path, value in backend.dump_parameters(model).items()}
    for _ in range(packed.AFTER + 1):
        output()
    backend.load_parameters(model, initial_parameters(spec, 2))  # in place: the packed weight is outdated now
    outputs["loaded"] = output()
    return Packed(states, released, model.x["large"].packed.uses, packed.HERE), outputs


def test_outputs_are_those_of_the_weights_as_they_are(worker: Callable[[str], Worker]) -> None:
    require("torch")
    spec, source = Spec.from_dict(SPEC), np.random.default_rng(0)
    x, labels = (source.standard_normal((40, width)).astype(np.float32) for width in (1024, 3))
    packed, outputs = worker("torch").run(evaluate_job, PackedArguments(spec), {"x": x, "labels": labels})
    assert packed.states == [False] * (len(packed.states) - 2) + [packed.here, packed.here]
    assert packed.released, "training takes the memory back"
    assert packed.uses == int(packed.here), "a weight that was packed before a change is not used"
    first = forward(spec, initial_parameters(spec, 1), {"x": x})["output"]
    trained = {name.removeprefix("parameters/"): v for name, v in outputs.items() if name.startswith("parameters/")}
    wanted = {name: first for name in outputs if name not in ("1 rows", "3 rows", "trained", "loaded", *trained)}
    wanted |= {"1 rows": first[:1], "3 rows": first[:3], "trained": forward(spec, trained, {"x": x})["output"]}
    wanted["loaded"] = forward(spec, initial_parameters(spec, 2), {"x": x})["output"]
    for name, value in wanted.items():
        if not name.startswith("parameters/"):
            np.testing.assert_allclose(outputs[name], value, atol=2e-5 * np.abs(value).max(), err_msg=name)
    assert np.abs(wanted["trained"] - first).max() > 0.01
