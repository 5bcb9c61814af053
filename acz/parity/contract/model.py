"""Promises about a backend, its devices and its models.

Each is a function of a backend and its description that yields what is wrong. They run in the backend's process.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from acz.backend.devices import check_device
from acz.backend.info import BackendInfo
from acz.backend.protocol import Backend, Modules, NativeFiles
from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import MissingError
from acz.model.losses import LOSSES
from acz.model.names import PYTHON, STREAMS
from acz.parity.contract.samples import ADAM, CASE, SPEC, floats, own_spec, ready, same
from acz.reference.bounds import FLOAT64, difference, float32_bound
from acz.reference.execution import Result, run
from acz.reference.samples import Case

ANOTHER_FUNCTION = 1e-2
"""A relative difference of float32 outputs that no device's rounding explains."""


def description(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """NAME, versions() and capabilities() are there and have the types that are printed."""
    if info.name != backend.NAME:
        yield f"NAME must be '{info.name}', as the entry point, got '{backend.NAME}'"
    for what, words in (("versions()", backend.versions()), ("capabilities()", backend.capabilities())):
        if not words or not all(isinstance(word, str) for pair in words.items() for word in pair):
            yield f"{what} must map words to words, got {words!r}"
    if "devices" not in backend.capabilities():
        yield "capabilities() must say under 'devices' which kinds of device this build could use"


def threads(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """set_threads(1), as the process began, may be called again; another count is set or is a MissingError."""
    backend.forward(ready(backend), floats(CASE.batch("plain").inputs, "float32"))
    for count, may_refuse in ((1, False), (2, True), (1, False)):
        try:
            backend.set_threads(count)
        except Exception as error:
            if not (may_refuse and isinstance(error, MissingError)):
                yield f"after an operation set_threads({count}) raises {type(error).__name__}: {error}"


def devices(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """The CPU is a device, and a device that is not here is refused. Other devices have processes of their own."""
    here = backend.devices()
    if "CPU" not in here:
        yield f"devices() must list CPU, got {here}"
    for device in here:
        check_device(backend, device)
    if "Nowhere:7" in here:
        yield "devices() lists Nowhere:7"
    yield from output_on(backend, "CPU")


def output_on(backend: Backend, device: str) -> Iterator[str]:
    """A device gives the reference's output: within the bound on the CPU, and nearly on others, which round otherwise."""
    inputs = CASE.batch("padded").inputs
    exact = run(SPEC, CASE.parameters, inputs).output
    rounded = run(SPEC, floats(CASE.parameters, "float32"), floats(inputs, "float32")).output
    bound = float32_bound(difference(rounded, exact)) if device == "CPU" else ANOTHER_FUNCTION
    model = ready(backend, device=device)
    measured = difference(backend.forward(model, floats(inputs, "float32"))["output"], exact)
    if measured > bound:
        yield f"on {device} the output is {measured:.1e} from the reference's, and the bound is {bound:.1e}"


def names(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """If streams are attributes of the model, the description reserves the names of its other attributes."""
    model = ready(backend)
    if not all(hasattr(model, stream) for stream in SPEC.streams):
        return  # this model does not hold its streams as attributes
    attributes = {name for name in dir(model) if not name.startswith("_")} - {*SPEC.streams, "trunk"}
    free = attributes - info.reserved_names - info.reserved_streams - PYTHON - STREAMS
    if free:
        yield f"reserved_names or reserved_streams must have {', '.join(sorted(free))}: the model has attributes so called"


def parameters(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Parameters come back as copies with the same bits, in both precisions, also where a trainer was there before them."""
    for precision in ("float32", "float64"):
        given = floats(CASE.parameters, precision)
        model = backend.build(SPEC, "CPU", precision)
        backend.start_training(model, ADAM, CASE.loss)
        backend.load_parameters(model, given)
        dumped = backend.dump_parameters(model)
        if not same(dumped, given):
            yield f"{precision}: dump_parameters does not give what load_parameters was given"
            continue
        for value in (*given.values(), *dumped.values()):
            value[...] = 7
        if not same(backend.dump_parameters(model), floats(CASE.parameters, precision)):
            yield f"{precision}: parameters must be copied in and out; a change of the arrays outside changed the model"


def outputs(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """A forward pass gives the asked values as arrays of the model's precision, and leaves its inputs as they are."""
    for precision in ("float32", "float64"):
        model, inputs = ready(backend, precision), floats(CASE.batch("padded").inputs, precision)
        before = {name: value.copy() for name, value in inputs.items()}
        answer = backend.forward(model, inputs, record=["x.norm", "x.pool.weights"])
        if set(answer) != {"output", "logits", "x.norm", "x.pool.weights"}:
            yield f"{precision}: forward gives {', '.join(answer)}; it must give output, logits and what is recorded"
        for name, value in answer.items():
            if not isinstance(value, np.ndarray) or value.dtype != precision:
                yield f"{precision}: '{name}' must be a NumPy array of {precision}, got {type(value).__name__}"
        if not same(inputs, before):
            yield f"{precision}: forward writes into its inputs"


def sizes(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """One model takes batches of any size, and videos of any number of frames, with a mask and without."""
    model = ready(backend, "float64")
    for videos, frames in ((1, 1), (7, 4), (2, 9), (1, 4)):
        x = np.random.default_rng(frames).standard_normal((videos, frames, 3))
        for inputs in ({"x": x}, {"x": x, "x.mask": np.arange(frames) < np.arange(1, videos + 1)[:, None]}):
            exact = run(SPEC, CASE.parameters, inputs).output
            if difference(backend.forward(model, inputs)["output"], exact) > FLOAT64:
                yield f"{videos} videos of {frames} frames{' with a mask' * (len(inputs) - 1)}: not the reference's output"


def statistics(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Running statistics move in training and stay as they are in evaluation."""
    model, inputs = ready(backend), floats(CASE.batch("plain").inputs, "float32")
    start = backend.dump_parameters(model)
    backend.forward(model, inputs)
    backend.forward_best(model, inputs, {"output": 2})
    if not same(backend.dump_parameters(model), start):
        yield "an evaluation moves parameters or statistics"
    backend.forward(model, inputs, training=True)
    after = backend.dump_parameters(model)
    for path in SPEC.statistics:
        if np.array_equal(after[path], start[path]):
            yield f"a forward pass in training leaves {path} as it is"
    if not same({path: after[path] for path in SPEC.trained}, {path: start[path] for path in SPEC.trained}):
        yield "a forward pass in training moves trained parameters"


def dropout(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Dropout takes the masks that it is given: a path without a mask drops nothing, and nothing is drawn at the seam."""
    batch = CASE.batch("plain")
    exact = run(SPEC, CASE.parameters, batch.inputs, True, False, {}).output
    dropped = run(SPEC, CASE.parameters, batch.inputs, True, False, batch.dropout).output
    wanted: tuple[tuple[str, Arrays | None, Array], ...] = (
        ("without masks", None, exact),
        ("with no mask for its path", {}, exact),
        ("with a mask", batch.dropout, dropped),
    )
    for what, masks, output in wanted:
        answer = backend.forward(ready(backend, "float64"), batch.inputs, True, masks)["output"]
        if difference(answer, output) > FLOAT64:
            yield f"training {what}: not the reference's output"


def own_dropout(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """A module in training mode, as its user calls it, draws its dropout: other masks in each call, at the rate, and scaled by it."""
    if not hasattr(backend, "call_in_training"):
        return
    module = cast(Modules, backend)
    for over, shape in (("elements", (64,)), ("channels", (16, 2, 2))):
        for rate in (0.1, 0.7):
            drop = {"type": "dropout", "rate": rate, "over": over}
            flat = {"flatten": {"type": "flatten"}} if over == "channels" else {}
            model = ready(backend, case=Case("drop", own_spec({"drop": drop, **flat}, shape), "projection"))
            inputs = {"x": np.ones((256, *shape), np.float32), "one": np.ones((256, 1), np.float32)}
            draws = np.stack([module.call_in_training(model, inputs)[:, :-1] for _ in range(4)])
            masks = draws != 0
            independent = masks if over == "elements" else masks.reshape(4, 256, *shape)[..., 0, 0]
            dropped, spread = 1 - independent.mean(), 6 * math.sqrt(rate * (1 - rate) / independent.size)
            where = f"dropout of {over} at the rate {rate}"
            if np.array_equal(masks[0], masks[1]):
                yield f"{where}: two calls drop the same values"
            if abs(dropped - rate) > spread:
                yield f"{where}: {dropped:.3f} of {independent.size:,} values are dropped"
            if masks.any() and difference(draws[masks], np.full(masks.sum(), 1 / (1 - rate))) > float32_bound(0.0):
                yield f"{where}: what stays is scaled by {draws[masks].mean():.4f}, not by {1 / (1 - rate):.4f}"
            if over == "channels" and (independent[..., None] != masks.reshape(4, 256, shape[0], -1)).any():
                yield f"{where}: values of one channel are dropped apart"


def precisions(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Models of both precisions live in one process: neither changes the other's, whichever was built or run last."""
    batch, labels = CASE.batch("plain"), CASE.batch("plain").labels
    exact = run(SPEC, CASE.parameters, batch.inputs).output
    value = float(LOSSES[CASE.loss].reference(*both(run(SPEC, CASE.parameters, batch.inputs)), labels))
    rounded = run(SPEC, floats(CASE.parameters, "float32"), floats(batch.inputs, "float32")).output
    bounds = {"float64": FLOAT64, "float32": float32_bound(difference(rounded, exact))}
    models = {precision: ready(backend, precision) for precision in ("float64", "float32")}
    for precision in ("float64", "float32", "float64", "float32", "float64"):
        output = backend.forward(models[precision], floats(batch.inputs, precision))["output"]
        if output.dtype != precision or difference(output, exact) > bounds[precision]:
            yield f"with a model of the other precision beside it, one in {precision} gives {output.dtype}, or other numbers"
    for precision in ("float64", "float32", "float64"):
        loss, gradients = backend.loss_and_gradients(
            models[precision], floats(batch.inputs, precision), labels, CASE.loss, training=False
        )
        kinds = {str(gradient.dtype) for gradient in gradients.values()}
        if kinds != {precision} or abs(loss - value) > max(bounds[precision], FLOAT64) * abs(value):
            yield f"beside a model of the other precision, gradients in {precision} are {', '.join(sorted(kinds))}, or the loss is another"


def both(result: Result) -> tuple[Array, Array]:
    """The logits and the output of a run."""
    return result.logits, result.output


def native_files(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """A file of the framework's own kind is recognised and comes back with the same bits, where there is such a kind."""
    if info.native is None:
        return
    missing = [name for name in ("save_native", "read_native") if not hasattr(backend, name)]
    if missing:
        yield f"the description has a native format, so the module must have {' and '.join(missing)}"
        return
    files = cast(NativeFiles, backend)
    for precision in ("float32", "float64"):
        with tempfile.TemporaryDirectory(prefix="acz-contract-") as folder:
            path = Path(folder) / f"weights{info.native.suffix}"
            files.save_native(ready(backend, precision), path)
            if not info.native.recognises(path):
                yield f"{precision}: recognises() is not true of what save_native wrote"
            if not same(files.read_native(path), floats(CASE.parameters, precision)):
                yield f"{precision}: read_native does not give the arrays that were saved, by the spec's paths"
