"""Models and backends: what there is, and a model as a framework's own module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from acz.api.results import Result, reports_progress
from acz.backend.build import build_model
from acz.backend.devices import precision_for, precisions_in_words
from acz.backend.protocol import Parameters
from acz.backend.registry import REFERENCE, broken, find_backend, infos, installed
from acz.backend.worker import Worker, describe
from acz.foundation.errors import AczError, DataError, SpecError, nearest
from acz.foundation.files.atomic import write_text_atomically
from acz.foundation.processes.environments import ask, interpreters, make_environment, set_interpreter
from acz.foundation.progress import Progress, show_progress
from acz.foundation.version import __version__
from acz.model.checkpoint import Checkpoint
from acz.model.drawing import draw
from acz.model.layers import LAYERS
from acz.model.layers.description import Setting, formula, settings_of
from acz.model.spec import Spec
from acz.training.latest import latest_run
from acz.training.run_folder import open_checkpoint
from acz.zoo.catalog import config_names
from acz.zoo.config import Config, load_config

__all__ = [
    "BackendState",
    "LayerInfo",
    "add_backend",
    "build",
    "compression",
    "create_backend",
    "differences",
    "draw_model",
    "list_backends",
    "list_layers",
    "list_models",
    "load",
    "load_config",
    "remove_backend",
]


@dataclass(frozen=True, repr=False)
class LayerInfo(Result):
    """A layer that a model's YAML file can name."""

    type: str
    """The name that the file gives it."""
    formula: str
    """Its formula, shapes, parameters and source, in words."""
    settings: tuple[Setting, ...]

    @property
    def summary(self) -> str:
        """The first paragraph of the formula."""
        return " ".join(self.formula.partition("\n\n")[0].split())

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, "formula": self.formula, "settings": [asdict(setting) for setting in self.settings]}

    def __str__(self) -> str:
        names = [setting.name if setting.default else f"{setting.name} (required)" for setting in self.settings]
        return f"{self.type}: {self.summary} Settings: {', '.join(names) or 'none'}"


@dataclass(frozen=True, repr=False)
class BackendState(Result):
    """A backend on this machine."""

    name: str
    installed: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    """Devices that are here."""
    capabilities: Mapping[str, str] = field(default_factory=dict)
    """Its features in words; `devices` names the kinds of device that this build could use."""
    problem: str = ""
    """Why it can't be used; empty where it can."""
    python: str = ""
    """The interpreter of the other environment in which it lives; empty for this one."""
    acz: str = __version__
    """The version of acz in its environment; empty where that is not known."""

    def to_json(self) -> dict[str, Any]:
        place = {"python": self.python, "acz": self.acz} if self.python else {}
        if self.problem:
            return {"installed": self.installed, "problem": self.problem, **place}
        about = {"versions": dict(self.versions), "devices": list(self.devices)}
        return {"installed": self.installed, **about, "capabilities": dict(self.capabilities), **place}

    def __str__(self) -> str:
        if self.problem:
            return f"{self.name}: {self.problem}"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.name}: {versions}; {', '.join(self.devices)}"


def list_models(pattern: str = "*") -> list[str]:
    """Names of the zoo that match: a part of a name, or wildcards. Raises SpecError where none does."""
    names = config_names(pattern)
    if not names:
        raise SpecError(f"no model matches '{pattern}'; {nearest(pattern, config_names())}")
    return names


def list_layers(pattern: str = "*") -> dict[str, LayerInfo]:
    """The layers by type, with their formulas and settings.

    Args:
        pattern: a type, a part of one, or wildcards.

    Raises:
        SpecError: no layer matches.

    Example:
        >>> acz.list_layers()["dropout"].settings[0].values
        'number >= 0 and < 1'
    """
    wildcards = pattern if any(letter in pattern for letter in "*?[") else f"*{pattern}*"
    names = [pattern] if pattern in LAYERS else [name for name in LAYERS if fnmatchcase(name, wildcards)]
    if not names:
        raise SpecError(f"no layer matches '{pattern}'; {nearest(pattern, LAYERS)}")
    return {name: LayerInfo(name, formula(LAYERS[name]), settings_of(LAYERS[name])) for name in names}


def compression(config: Config) -> float | None:
    """The ratio of the parameters of a file's own model to those of its form; None for a model that is not a form."""
    if config.name.rpartition(":")[2] not in config.forms:
        return None
    return load_config(config.name.partition(":")[0]).spec.parameter_count / config.spec.parameter_count


def differences(configs: Sequence[Config]) -> dict[str, str]:
    """Map models to the differences from their sources. Models that share one share a key: `youtube8m/compact/*`.

    Args:
        configs: The configurations. Forms and variants count as the model of their file.
    """
    texts = {config.name.partition(":")[0]: config.difference for config in configs}
    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        if text:
            names.setdefault(text, []).append(name)
    keys = {}
    for text, same in names.items():
        folders = {name.rpartition("/")[0] for name in same}
        beside = [name for name in texts if name.rpartition("/")[0] in folders]
        whole = len(folders) == 1 < len(same) == len(beside)
        keys[f"{folders.pop()}/*" if whole else ", ".join(same)] = text
    return keys


def draw_model(
    config: str | Path | Mapping[str, Any], out: str | Path, overrides: Mapping[str, Any] | None = None
) -> Path:
    """Draw a model's inputs and layers as SVG. Raises SpecError where `out` does not end in .svg."""
    path = Path(out)
    if path.suffix != ".svg":
        raise SpecError(f"a model is drawn as SVG; --out must end in .svg, got {path}")
    chosen = load_config(config, overrides)
    write_text_atomically(path, draw(chosen.spec, chosen.name, chosen.description))
    return path


@reports_progress
def list_backends(*, progress: Progress | None = None) -> dict[str, BackendState]:
    """Every registered backend by name, each asked in a process of its own for its versions and devices."""
    known, here, elsewhere = infos(), [REFERENCE, *installed()], interpreters()

    def state_of(name: str) -> BackendState:
        python = elsewhere.get(name, "")
        if name not in here:
            return BackendState(name, False, problem=f"not installed; {known[name].advice}")
        try:
            with Worker(name) as worker:
                about = worker.run(describe, None)[0]
        except AczError as error:
            return BackendState(name, True, problem=str(error), python=python, acz="" if python else __version__)
        able = {**about.capabilities, "precisions": precisions_in_words(name)}
        return BackendState(name, True, about.versions, tuple(about.devices), able, python=python)

    states: dict[str, BackendState] = {}
    with show_progress(progress) as shown, ThreadPoolExecutor(len(known)) as pool:
        for state in pool.map(state_of, known):
            states[state.name] = state
            shown("asking each backend in a process of its own", len(states), len(known))
    for name, problem in broken().items():
        python = elsewhere.get(name, "")
        text = problem if python else f"its description can't be loaded: {problem}"
        states[name] = BackendState(name, False, problem=text, python=python, acz="" if python else __version__)
    return states


def add_backend(name: str, python: str | Path) -> None:
    """Name the interpreter in which a backend lives. Everything that needs the backend starts there from then on.

    Args:
        name: the backend.
        python: the interpreter of an environment with the same version of acz, and with the framework.

    Raises:
        MissingError: the backend can't start there; nothing is changed then.
    """
    ask(name, os.path.abspath(python))
    set_interpreter(name, str(python))


def create_backend(name: str, folder: str | Path) -> Path:
    """Make an environment with a backend, by venv and pip from the constraints, and add it. Returns the interpreter.

    It gets acz from where this copy came: the checkout, the address or the package index. A backend that acz does not
    describe is the distribution `acz-NAME`, which a checkout has in `backends_outside/acz_NAME`.

    Raises:
        DataError: the folder is there already.
        MissingError: the environment can't be made, or the backend can't start there.
    """
    if Path(folder).exists():
        raise DataError(
            f"{folder} is there already; choose another --folder, or type acz backends --add {name} --python PATH"
        )
    known = infos().get(name)
    extra = known.install.removeprefix("acz[").removesuffix("]") if known and known.install.startswith("acz[") else None
    python = make_environment(Path(os.path.abspath(folder)), name, extra)
    add_backend(name, python)
    return python


def remove_backend(name: str) -> None:
    """Forget the other environment of a backend. Nothing of it is deleted. Raises SpecError where none was named."""
    if not set_interpreter(name, None):
        raise SpecError(f"no other environment of backend '{name}' was added; {nearest(name, interpreters())}")


def build(
    spec: Spec | str,
    backend: str,
    parameters: Parameters | None = None,
    device: str = "CPU",
    precision: str = "float32",
    seed: int = 0,
    logits: bool = False,
) -> Any:
    """A spec as the framework's own module: torch.nn.Module, keras.Model, paddle.nn.Layer or mindspore.nn.Cell.

    Its parameters carry the spec's paths as names and the spec's layouts. It starts in the mode of its framework's own
    modules. In PyTorch and PaddlePaddle that is training mode: call `eval()` before inference. In MindSpore it is inference
    mode: call `set_train()` before training. Keras takes the mode in the call.

    The module takes `module({"features": x, "features.mask": m})`, `module(features=x, features_mask=m)`, or `module(x)`
    where the model has one input. x is (videos, frames, features). A mask is (videos, frames) of any dtype; a frame is
    valid where it is not 0.

    For the weights of a run or a checkpoint call `acz.load`.

    Args:
        spec: a spec, or the name of a model. A checkpoint's `spec` gives the model without the checkpoint's weights.
        parameters: arrays by path; by default the spec's initial values for `seed`, the same in every backend.
        device: `CPU`, `GPU:1`, `Ascend:3`, ...
        precision: `float32`, `float64`, or for products alone `tf32`, `bfloat16` or `float16`.
        logits: let a call give the logits (videos, classes), which losses take, and not the spec's output. The module's
            attribute `returns_logits` switches it later, and `module.finish(logits)` gives the output.

    Raises:
        MissingError: the backend or the device is not here.
        SpecError: the parameters are not the spec's, or the precision is unknown.

    Example:
        >>> module = acz.build(acz.load_spec("flash_mnist/attention_cluster"), backend="torch")
    """
    if isinstance(spec, Checkpoint) or (isinstance(spec, str) and _holds_weights(Path(spec))):
        raise SpecError(
            "acz.build gives starting values, and this has weights: acz.load(..., backend) loads them; "
            "acz.load(..., backend, weights=False) builds the model without them"
        )
    named = spec if isinstance(spec, Spec) else load_config(spec).spec
    return build_model(
        find_backend(backend), named, parameters, device, precision_for(backend, precision), seed, logits
    )


def load(
    target: str | Path | Checkpoint | None,
    backend: str,
    *,
    device: str = "CPU",
    precision: str = "float32",
    logits: bool = False,
    weights: bool = True,
    seed: int = 0,
) -> Any:
    """A run, a checkpoint or a model of the zoo as the framework's own module, with its weights.

    The module is that of `acz.build`, in the mode of its framework's own modules: in PyTorch and PaddlePaddle call `eval()`
    before inference.

    Args:
        target: the folder of a run, whose best checkpoint is taken; a checkpoint, or its file; or the name or file of a
            configuration, which has no weights and gives starting values. None is the latest run.
        backend: the backend whose module is built, whichever one trained the weights.
        device: `CPU`, `GPU:1`, `Ascend:3`, ...
        precision: `float32`, `float64`, or for products alone `tf32`, `bfloat16` or `float16`.
        logits: let a call give the logits, as `acz.build` says.
        weights: False builds the model of a run or a checkpoint with starting values.
        seed: the seed of starting values.

    Raises:
        CheckpointError: the run has no checkpoint, or the file is damaged or of another program.
        SpecError: there is no such model, or the precision is unknown.
        MissingError: the backend or the device is not here.

    Example:
        >>> module = acz.load("runs/mine", "torch").eval()
    """
    chosen = precision_for(backend, precision)
    if isinstance(target, Checkpoint):
        checkpoint: Checkpoint | None = target
    elif target is None or _holds_weights(Path(target)):
        checkpoint = open_checkpoint(latest_run() if target is None else Path(target))[0]
    else:
        checkpoint = None
    spec = checkpoint.spec if checkpoint else load_config(target if isinstance(target, Path) else str(target)).spec
    parameters = checkpoint.parameters if checkpoint and weights else None
    return build_model(find_backend(backend), spec, parameters, device, chosen, seed, logits)


def _holds_weights(path: Path) -> bool:
    """True for a folder, and for a file that is not a configuration."""
    return path.is_dir() or (path.is_file() and path.suffix not in (".yaml", ".yml")) or path.suffix == ".safetensors"
