"""Keras' own tools on the module of TensorFlow: savers, copies, layers in place of the spec's, artefacts, replicas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.worker import Worker
from acz.foundation.arrays import Arrays
from acz.model.spec import Spec
from parity_tests.conftest import require
from parity_tests.keras_cases import FEATURES, MASK, videos
from tests.conftest import TINY

pytestmark = pytest.mark.slow

NORMED = Spec.from_dict(
    {
        "inputs": {"x": {"frames": 5, "features": FEATURES}},
        "streams": {
            "x": {
                "input": "x",
                "layers": {"norm": {"type": "batch_norm"}, "pool": {"type": "frame_pool", "pooling": "mean"}},
            }
        },
        "trunk": {"drop": {"type": "dropout", "rate": 0.5}, "logits": {"type": "dense", "units": 3}},
        "output": "softmax",
    }
)
"""A batch norm that sees the input itself, so that its statistics are known."""


@pytest.fixture(scope="module")
def keras_worker(worker: Callable[[str], Worker]) -> Worker:
    return worker("tensorflow")


@dataclass(frozen=True)
class Folder:
    path: Path


def use_tools(backend: Any, arguments: Folder, arrays: Any) -> tuple[dict[str, Any], Arrays]:
    """A job: Keras' savers, copies and tools of a module; outputs that must be equal, by tool."""
    import copy
    import pickle

    import keras

    module, x, folder = acz.build(TINY, "tensorflow", seed=3, logits=True), videos(), arguments.path
    outputs = {"": module(x)}
    copied = copy.deepcopy(module)
    outputs["pickle"] = pickle.loads(pickle.dumps(module))(x)
    module.save(folder / "m.keras")
    outputs["saved"] = keras.models.load_model(folder / "m.keras")(x)
    module.save_weights(folder / "m.weights.h5")
    other = keras.models.clone_model(module)
    cloned = float(abs(other(x) - module(x)).numpy().max())
    other.load_weights(folder / "m.weights.h5")
    outputs["weights"] = other(x)
    for variable in module.variables:
        variable.assign(variable + 1)
    outputs["deepcopy, whose original has changed"] = copied(x)
    copied.export(folder / "exported", verbose=False)
    outputs["exported"] = keras.layers.TFSMLayer(folder / "exported")({"features": x})
    inputs = keras.Input((None, FEATURES))
    outputs["functional"] = keras.Model(inputs, copied(inputs)).predict(x, verbose=0)
    lines: list[str] = []
    copied.summary(print_fn=lines.append)
    counts = {"parameters": copied.count_params(), "summary": "".join(lines), "cloned": cloned}
    return counts, {name: np.asarray(value) for name, value in outputs.items()}


def test_keras_own_tools_work(keras_worker: Worker, tmp_path: Path) -> None:
    answers, outputs = keras_worker.run(use_tools, Folder(tmp_path))
    for name, output in outputs.items():
        np.testing.assert_allclose(output, outputs[""], rtol=1e-6, atol=1e-7, err_msg=name)
    spec = acz.load_spec(TINY)
    assert answers["parameters"] == sum(parameter.size for parameter in spec.parameters.values())
    assert "trunk.logits" in answers["summary"]
    assert "unbuilt" not in answers["summary"]
    assert answers["cloned"] > 1e-3, "a clone has starting values, and not zeros"


def fine_tune(backend: Any, arguments: Folder, arrays: Any) -> tuple[dict[str, Any], Arrays]:
    """A job: a model with a layer of Keras instead of its last one, trained with a frozen layer, and saved."""
    import keras

    keras.utils.set_random_seed(1)  # of the new layer, of dropout, and of the order of videos
    module, x = acz.build(TINY, "tensorflow", logits=True), videos(64)
    module.replace("trunk.logits", keras.layers.Dense(3))
    module.get_layer("features.attention").trainable = False
    before = {path: value.numpy() for path, value in module.state.items()}
    module.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = module.fit(x, x.mean(1)[:, :3].argmax(1), epochs=4, verbose=0).history["loss"]
    module.save(arguments.path / "tuned.keras")
    try:
        refused = str(backend.read_native(arguments.path / "tuned.keras"))
    except acz.DataError as error:
        refused = str(error)
    frozen = all((value.numpy() == before[path]).all() for path, value in module.state.items())
    again = keras.models.load_model(arguments.path / "tuned.keras")
    answer = {"losses": losses, "frozen": frozen, "trained": len(module.trainable_variables), "refused": refused}
    return answer, {"output": module(x).numpy(), "again": again(x).numpy()}


def test_a_layer_of_keras_takes_a_layers_place(keras_worker: Worker, tmp_path: Path) -> None:
    answer, outputs = keras_worker.run(fine_tune, Folder(tmp_path))
    assert answer["losses"][-1] < answer["losses"][0]
    assert answer["frozen"]
    assert answer["trained"] == 2, "kernel and bias of the new layer alone"
    assert outputs["output"].shape == (64, 3)
    np.testing.assert_allclose(outputs["again"], outputs["output"], rtol=1e-6, atol=1e-7)
    assert "'trunk.logits' is replaced" in answer["refused"]


def call_artefacts(backend: Any, arguments: Folder, arrays: Any) -> tuple[None, Arrays]:
    """A job: the exported SavedModel in Keras' TFSMLayer, in every form of call, and the module beside it."""
    import keras

    module, x, mask = acz.build(TINY, "tensorflow"), videos(), MASK.astype(bool)
    backend.export(module, arguments.path / "artefact", {})
    outputs = {"module": module(x), "module, masked": module(features=x, features_mask=mask)}
    for endpoint in ("serve", "serving_default"):
        layer = keras.layers.TFSMLayer(arguments.path / "artefact", call_endpoint=endpoint)
        outputs[f"{endpoint} of a dictionary"] = layer({"features": x})["output"]
        outputs[f"{endpoint} of a tensor"] = layer(x)["output"]
        outputs[f"{endpoint}, masked"] = layer({"features": x, "features_mask": mask})["output"]
    return None, {name: value.numpy() for name, value in outputs.items()}


def test_keras_layer_for_saved_models_calls_the_artefact(keras_worker: Worker, tmp_path: Path) -> None:
    _, outputs = keras_worker.run(call_artefacts, Folder(tmp_path))
    for name, output in outputs.items():
        same = outputs["module, masked" if name.endswith("masked") else "module"]
        np.testing.assert_allclose(output, same, rtol=1e-6, atol=1e-7, err_msg=name)


def train_on_two_devices(backend: Any, arguments: None, arrays: Any) -> tuple[dict[str, Any], Arrays]:
    """A job: steps on two logical CPUs by a strategy, by `fit` and by a loop, with statistics after the first step."""
    import keras
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    x, y = videos(16) + 1, np.arange(16) % 3
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with strategy.scope():
        fitted, looped = (acz.build(NORMED, "tensorflow", logits=True) for _ in range(2))
        fitted.compile(keras.optimizers.Adam(0.05), loss_of)
        optimizer = keras.optimizers.Adam(0.05)
        optimizer.build(looped.trainable_variables)
    losses = fitted.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0).history["loss"]
    mean = fitted.state["x.norm.running_mean"].numpy()
    losses += fitted.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0).history["loss"]

    def replica(videos: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, looped(videos, training=True))
        optimizer.apply(tape.gradient(loss, looped.trainable_variables), looped.trainable_variables)
        return loss

    @tf.function
    def step(videos: Any, labels: Any) -> Any:
        return strategy.reduce("MEAN", strategy.run(replica, (videos, labels)), None)

    batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat(1))
    for videos_of_step, labels in batches:
        step(videos_of_step, labels)
    return {"losses": losses}, {"fitted": mean, "looped": looped.state["x.norm.running_mean"].numpy()}


def test_statistics_move_by_the_mean_of_all_replicas() -> None:
    require("tensorflow")
    with Worker("tensorflow") as alone:  # before its first operation
        answer, means = alone.run(train_on_two_devices, None)
    assert answer["losses"][-1] < answer["losses"][0]
    for name, mean in means.items():
        np.testing.assert_allclose(mean, 0.1 * (videos(16) + 1).mean((0, 1)), rtol=1e-5, err_msg=name)
