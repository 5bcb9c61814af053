"""The module of TensorFlow in its users' hands: calls, masks, mixed precision, replicas, Keras' own tools and savers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.build import build_model
from acz.backend.worker import Worker
from acz.foundation.arrays import Arrays
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity.cases import cases
from parity_tests.keras_cases import FEATURES, MASK, videos
from tests.conftest import TINY
from tests.documents import ROOT, read_blocks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras_worker(worker: Callable[[str], Worker]) -> Worker:
    return worker("tensorflow")


def outputs_of_every_call(backend: Any, arguments: None, arrays: Any) -> tuple[None, Arrays]:
    """A job: the output of each way to call, and of each type of mask."""
    import tensorflow as tf

    module, x, mask = acz.build(TINY, "tensorflow"), videos(), MASK.astype(bool)
    outputs = {kind: module({"features": x, "features.mask": MASK.astype(kind)}) for kind in MASKS}
    outputs["keywords"] = module(features=x, features_mask=mask)
    outputs["tensors"] = module({"features": tf.constant(x), "features_mask": tf.constant(mask)})
    outputs["traced"] = tf.function(lambda a, b: module(features=a, features_mask=b))(x, mask)
    outputs["compiled"] = tf.function(lambda a, b: module(features=a, features_mask=b), jit_compile=True)(x, MASK)
    outputs["one input"] = module(x)
    outputs["a dictionary"] = module({"features": x})
    outputs["stateless"], _ = module.stateless_call(module.trainable_variables, module.non_trainable_variables, x)
    return None, {name: value.numpy() for name, value in outputs.items()}


MASKS = ["bool", "uint8", "int32", "int64", "float32", "float16"]


def test_a_mask_of_any_type_and_every_way_to_call_give_the_references_output(keras_worker: Worker) -> None:
    _, outputs = keras_worker.run(outputs_of_every_call, None)
    spec = acz.load_spec(TINY)
    parameters = initial_parameters(spec)
    for name, output in outputs.items():
        inputs = {"features": videos()}
        if name not in ("one input", "a dictionary", "stateless"):
            inputs["features.mask"] = MASK.astype(bool)
        wanted = acz.reference.forward(spec, parameters, inputs)["output"]
        np.testing.assert_allclose(output, wanted, rtol=1e-5, atol=1e-6, err_msg=name)


def errors_of_wrong_calls(backend: Any, arguments: None, arrays: Any) -> tuple[dict[str, str], Arrays]:
    """A job: the error of each wrong call, traced and not."""
    import tensorflow as tf

    module, x = acz.build(TINY, "tensorflow"), videos()
    calls: dict[str, Callable[[], Any]] = {
        "nothing": lambda: module(),
        "two arguments": lambda: module(x, MASK),
        "another name": lambda: module(featuers=x),
        "a list": lambda: module([x]),
        "a ragged tensor": lambda: module(tf.RaggedTensor.from_tensor(x)),
        "a mask of another shape": lambda: module(features=x, features_mask=MASK[:1, :1]),
        "a traced name": lambda: tf.function(module)({"featuers": x}),
        "a symbolic shape": lambda: module(tf.keras.Input((None, FEATURES + 1))),
    }
    errors = {}
    for name, call in calls.items():
        try:
            call()
        except acz.InputError as error:
            errors[name] = str(error)
    return errors, {}


def test_another_call_is_one_clear_error(keras_worker: Worker) -> None:
    errors, _ = keras_worker.run(errors_of_wrong_calls, None)
    assert "is missing; call it as module" in errors.pop("nothing")
    assert "one argument comes by position, not 2" in errors.pop("two arguments")
    assert "did you mean 'features'" in errors.pop("another name")
    assert "not list" in errors.pop("a list")
    assert "not RaggedTensor" in errors.pop("a ragged tensor")
    assert "must have the shape" in errors.pop("a mask of another shape")
    assert "did you mean 'features'" in errors.pop("a traced name")
    assert "videos, frames, 4" in errors.pop("a symbolic shape")
    assert not errors


def train_by_the_page(backend: Any, arguments: None, arrays: Any) -> tuple[list[dict[str, Any]], Arrays]:
    """A job: the page's `fit` and its own loop on a model with a batch norm; losses, statistics and dropout of each."""
    page = read_blocks(ROOT / "docs/training/tensorflow.md")
    data, trained = page[0].mark("python"), []
    for block in page[:2]:
        code = block.text.replace('"flash_mnist/attention_cluster"', "spec").replace("1e-3", "1e-2")
        names: dict[str, Any] = {"spec": WITH_STATISTICS}
        exec(f"{data}\n{code}", names)
        module, x = names["module"], names["x"]
        losses = names["history"].history["loss"] if "history" in names else losses_of_epochs(names)
        variance = module.state["features.norm.running_variance"].numpy()
        trained.append(
            {
                "losses": losses,
                "moved": bool((variance != 1).all()),
                "near": float(abs(variance - 1).max()),
                "drops": bool((module(x, training=True).numpy() != module(x, training=True).numpy()).any()),
                "repeats": bool((module(x).numpy() == module(x).numpy()).all()),
            }
        )
    return trained, {}


def losses_of_epochs(names: dict[str, Any]) -> list[float]:
    """The loss before, and after more steps of the page's loop."""
    x, y, mask = (names[name][:16] for name in ("x", "y", "mask"))
    first = float(names["losses"][0])
    for _ in range(10):
        last = float(names["step"]({"features": x, "features_mask": mask}, y))
    return [first, last]


WITH_STATISTICS = Spec.from_dict(
    {
        "inputs": {"features": {"frames": 25, "features": 50}},
        "streams": {
            "features": {
                "input": "features",
                "layers": {"norm": {"type": "batch_norm"}, "pool": {"type": "frame_pool", "pooling": "mean"}},
            }
        },
        "trunk": {"drop": {"type": "dropout", "rate": 0.2}, "logits": {"type": "dense", "units": 10}},
        "output": "softmax",
    }
)


def test_the_pages_loops_train(keras_worker: Worker) -> None:
    trained, _ = keras_worker.run(train_by_the_page, None)
    assert len(trained) == 2
    for loop in trained:
        assert loop["losses"][-1] < loop["losses"][0] - 0.05, loop
        assert loop["moved"], loop
        assert loop["near"] < 0.2, loop
        assert loop["drops"], loop
        assert loop["repeats"], loop


@contextmanager
def policy(name: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


MODELS = ["layers/softmax_normalize", "layers/image", "youtube8m/compact/netfv:circulant_hidden"]


def compute_in_mixed_precision(backend: Any, arguments: str, arrays: Any) -> tuple[dict[str, Any], Arrays]:
    """A job: for each model its logits under a mixed policy beside float32, after a copy and a step of training, too."""
    import copy

    import keras
    import tensorflow as tf

    answers: dict[str, Any] = {}
    for name in MODELS:
        case = cases(name)[0]
        parameters = {path: np.asarray(value, np.float32) for path, value in case.parameters.items()}
        batch = case.batch("padded").inputs
        plain = build_model(backend, case.spec, parameters, logits=True)
        with policy(arguments):
            module = build_model(backend, case.spec, parameters, logits=True)
        wanted, logits = plain(batch).numpy(), module(batch).numpy()
        own = bool((backend.forward(module, batch)["logits"] == backend.forward(plain, batch)["logits"]).all())
        before = {path: value.numpy() for path, value in module.state.items()}
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(module(batch, training=True) ** 2)
        gradients = [gradient.numpy() for gradient in tape.gradient(loss, module.trainable_variables)]
        keras.optimizers.SGD(1e-3).apply(gradients, module.trainable_variables)
        answers[name] = {
            "difference": float(abs(logits - wanted).max() / abs(wanted).max()),
            "copied": copy.deepcopy(module).dtype_policy.name,
            "own": own,
            "finite": all(np.isfinite(value).all() for value in (logits, loss.numpy(), *gradients)),
            "types": {value.dtype.name for value in (logits, *gradients, *before.values())},
            "moved": all((module.state[path].numpy() != before[path]).any() for path in case.spec.statistics),
        }
    return {name: {**answer, "types": sorted(answer["types"])} for name, answer in answers.items()}, {}


@pytest.mark.parametrize(("name", "unit"), [("mixed_bfloat16", 2.0**-8), ("mixed_float16", 2.0**-11)])
def test_a_model_follows_a_mixed_policy(name: str, unit: float, keras_worker: Worker) -> None:
    answers, _ = keras_worker.run(compute_in_mixed_precision, name)
    for model, answer in answers.items():
        assert 0 < answer["difference"] < 10 * unit, (model, answer)
        assert answer["finite"], (model, answer)
        assert answer["moved"], (model, answer)
        assert answer["types"] == ["float32"], (model, answer)
        assert answer["copied"] == name
        assert answer["own"], "acz's own path computes in float32, to the bit"


def refusals(backend: Any, arguments: None, arrays: Any) -> tuple[dict[str, str], Arrays]:
    """A job: the errors of precisions and policies that no model follows, and of Keras' quantize."""

    def refused(call: Callable[[], Any]) -> str:
        with pytest.raises(acz.SpecError) as error:
            call()
        return str(error.value)

    answers = {"argument": refused(lambda: acz.build(TINY, "tensorflow", precision="mixed_bfloat16"))}
    with policy("bfloat16"):
        answers["policy"] = refused(lambda: acz.build(TINY, "tensorflow"))
    with policy("mixed_float16"):
        answers["contradiction"] = refused(lambda: acz.build(TINY, "tensorflow", precision="float64"))
    answers["quantize"] = refused(lambda: acz.build(TINY, "tensorflow").quantize("int8"))
    with policy("float64"):
        answers["argument decides"] = acz.build(TINY, "tensorflow").dtype
    return answers, {}


def test_what_no_model_follows_is_refused_and_the_error_says_what_to_type(keras_worker: Worker) -> None:
    answers, _ = keras_worker.run(refusals, None)
    assert answers.pop("argument decides") == "float32"
    assert "acz export --format tflite" in answers.pop("quantize")
    for name, message in answers.items():
        assert "type keras.config.set_dtype_policy('" in message, name
        assert "mixed_bfloat16" in message, name
