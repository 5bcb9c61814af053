"""Checkpoints that the original systems wrote, each with its model here and the original's results.

A folder of the same layout and other sizes can be tried with ACZ_CHECKPOINTS=FOLDER; sizes come from its config.json
files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.exchange.weights import incoming
from acz.model.spec import Spec
from acz.zoo.config import load_config

FOLDER = Path(os.environ.get("ACZ_CHECKPOINTS", Path(__file__).parent / "fixtures/checkpoints"))

Array = np.ndarray
Ours = dict[str, Array]


@dataclass
class Case:
    """One file. `expected` maps a name to what was recorded and how it follows from our recorded values."""

    file: Path
    system: str
    model: str | dict[str, Any]
    overrides: dict[str, Any]
    inputs: dict[str, Array]
    expected: dict[str, tuple[Array, Callable[[Ours], Array]]]
    batch_size: int | None = None
    """The size of the original's batches, if its function depends on that."""
    beside: dict[str, Any] = field(default_factory=dict)
    """Settings that no file tells, so that a user types them beside a file whose model is found. In `overrides` too."""

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}"


def convert(
    file: Path, model: str | dict[str, Any], overrides: dict[str, Any], out: Path, *arguments: Any, **more: Any
) -> incoming.Converted:
    """Convert a file to a checkpoint of a configuration with overrides."""

    def respecify(changes: Mapping[str, Any]) -> Spec:
        return load_config(model, {**overrides, **changes}).spec

    return incoming.convert(file, respecify, out, *arguments, **more)


def _values(path: Path, *beginnings: str) -> dict[str, Array]:
    """The arrays of an .npz file, all of them or those whose names begin with one of `beginnings`."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name.startswith(beginnings or "")}


def _of(path: str) -> Callable[[Ours], Array]:
    return lambda ours: ours[path]


def _by_unit(path: str) -> Callable[[Ours], Array]:
    """Ours (videos, frames, units), theirs (videos, units, frames)."""
    return lambda ours: ours[path].swapaxes(1, 2)


def _attention(features: int, frames: int, units: int, classes: int) -> dict[str, Any]:
    return {
        "model.inputs.features": {"frames": frames, "features": features},
        "model.streams.features.layers.attention.units": units,
        "model.trunk.logits.units": classes,
    }


EXTRACTOR = {
    "model.inputs.frame.dtype": "float32",  # recorded on frames that are scaled already
    "model.streams.frame.layers.standardize.scale": 1.0,
    "model.streams.frame.layers.standardize.offset": 0.0,
}
WITHOUT_HEAD = {**EXTRACTOR, "model.trunk": {}, "model.output": "none"}


def _flash(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    z, more = _values(folder / "satt_net.npz"), _values(folder / "features.npz")
    overrides = _attention(sizes["feature_dim"], sizes["L"], sizes["natt"], sizes["nclass"])
    overrides["model.output"] = "log_softmax"
    count = len(z["input/x"])
    for file in sorted(folder.glob("satt_net*.pth.tar")):
        expected = {
            "att": (z["expected/att"], lambda ours: ours["features.attention"][:count]),
            "weights": (z["expected/weights"], lambda ours: _by_unit("features.attention.weights")(ours)[:count]),
            "logp": (z["expected/logp"], lambda ours: ours["output"][:count]),
            "features/out": (more["satt/out"], lambda ours: ours["output"][count:]),
            "features/w": (more["satt/w"], lambda ours: _by_unit("features.attention.weights")(ours)[count:]),
        }
        inputs = {"features": np.concatenate([z["input/x"], more["expected/features_test"]])}
        yield Case(file, "flash-mnist", "flash_mnist/attention_cluster", overrides, inputs, expected)
    z = _values(folder / "extractor.npz")
    for file in sorted(folder.glob("extractor_001*.pth.tar")):
        expected = {"features": (z["expected/features"], _of("frame.features"))}
        yield Case(file, "flash-mnist", "flash_mnist/extractor", WITHOUT_HEAD, {"frame": z["input/x"]}, expected)


def _mindspore(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    for number, model in ((1, "attention_cluster"), (2, "attention_cluster_hidden")):
        s = sizes[f"fc{number}"]
        stem = f"attention_cluster_{number}_{s['n']}"
        z = _values(folder / f"{stem}.npz")
        expected = {
            "att": (z["expected/att"], _of("features.attention")),
            "weights": (z["expected/weights"], _by_unit("features.attention.weights")),
            "logits": (z["expected/logits"], _of("logits")),
        }
        overrides = _attention(s["F"], s["L"], s["n"], s["nc"])
        for file in sorted(folder.glob(f"{stem}*.ckpt")):
            inputs = {"features": z["input/x"]}
            yield Case(file, "mindspore-port", f"flash_mnist/{model}", overrides, inputs, expected)
    z = _values(folder / "extractor.npz")
    features = (z["expected/features"], _of("frame.features"))
    for file in sorted(folder.glob("extractor*.ckpt")):
        whole = file.name != "extractor_only.ckpt"  # with the layer that the extractor is trained with
        expected = {"features": features}
        if whole:
            expected["output"] = (z["expected/net1_output"], _of("output"))
        overrides = EXTRACTOR if whole else WITHOUT_HEAD
        yield Case(file, "mindspore-port", "flash_mnist/extractor", overrides, {"frame": z["input/x"]}, expected)


def _paddle(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    z = _values(folder / "attention_cluster.npz")
    overrides: dict[str, Any] = {
        "model.trunk.dropout.rate": sizes["drop"],
        "model.trunk.hidden1.units": sizes["hidden"][0],
        "model.trunk.hidden2.units": sizes["hidden"][1],
        "model.trunk.logits.units": sizes["nc"],
    }
    for number, name in enumerate(("rgb", "audio")):
        overrides[f"model.inputs.{name}"] = {"frames": sizes["seg"], "features": sizes["dims"][number]}
        layers = {"attention": {"type": "attention_cluster", "units": sizes["ns"][number]}}
        overrides[f"model.streams.{name}.layers"] = layers  # recorded on features that are dequantised already
    expected = {"logit": (z["expected/logit"], _of("logits")), "output": (z["expected/output"], _of("output"))}
    names = ["AttentionCluster*.pdparams", "AttentionCluster*.pdckpt", "AttentionCluster*_dir", "inference_model"]
    for file in sorted(path for name in names for path in folder.glob(name)):
        inputs = {"rgb": z["input/rgb"], "audio": z["input/audio"]}
        yield Case(file, "paddle-video", "youtube8m/attention_cluster", overrides, inputs, expected)


def _experts(sizes: dict[str, Any]) -> dict[str, Any]:
    """Settings of the attention clusters with gating and experts, of the sizes in a config.json."""
    flags = sizes["flags"]
    overrides: dict[str, Any] = {
        "model.trunk.hidden.units": flags["hidden_size"],
        "model.trunk.gating.expansion": flags["filter_size"],
        "model.trunk.class_gating.expansion": flags["filter_size"],
        "model.trunk.experts.classes": sizes["nc"],
        "model.trunk.experts.mixtures": flags["moe_num_mixtures"],
    }
    for ours, theirs, width in (("rgb", "video", sizes["vd"]), ("audio", "audio", sizes["ad"])):
        overrides[f"model.inputs.{ours}"] = {"frames": sizes["T"], "features": width, "dtype": "uint8"}
        attention = f"model.streams.{ours}.layers.attention"
        overrides[f"{attention}.units"] = flags[f"{theirs}_cluster_size"]
        overrides[f"{attention}.shift"] = flags["shift_operation"]
    return overrides


def _by_feature(widths: dict[str, int], videos: int) -> Callable[[Ours], Array]:
    """Compare vectors of each stream: ours (videos, units * features) by its norm, theirs (videos, features * units).

    Theirs are divided by the norm of all videos.
    """

    def concatenated(ours: Ours) -> Array:
        parts = [ours[f"{name}.whole"].reshape(videos, -1, width).swapaxes(1, 2) for name, width in widths.items()]
        return np.concatenate([part.reshape(videos, -1) for part in parts], axis=1) / videos**0.5

    return concatenated


def _best(z: dict[str, Array]) -> tuple[Array, Callable[[Ours], Array]]:
    """The output of a SavedModel: for each video the scores of its best 20 classes, and their numbers."""
    classes = z["expected/class_indexes"][:, 0]
    return z["expected/predictions"][:, 0], lambda ours: np.take_along_axis(ours["output"], classes, axis=1)


def _pomonam(folder: Path) -> Iterator[Case]:
    model = "youtube8m/attention_cluster_experts:original"
    for config in sorted(folder.glob("pomonam*/config.json")):
        sizes = json.loads(config.read_text())
        overrides, widths = _experts(sizes), {"rgb": sizes["vd"], "audio": sizes["ad"]}
        if (config.parent / "saved_model").is_dir():  # it runs videos one by one, and gives the best 20 classes
            z = _values(config.parent / "saved_model.npz", "input/", "expected/predictions", "expected/class")
            inputs = {name: z[f"input/{name}"] for name in widths}
            yield Case(config.parent / "saved_model", "pomonam", model, overrides, inputs, {"predictions": _best(z)}, 1)
            continue
        z = _values(config.parent / "model.npz")
        videos = len(z["input/x_raw_uint8"])
        expected = {
            "cluster_concat": (z["expected/cluster_concat"], _by_feature(widths, videos)),
            "gating_output": (z["expected/gating_output"], _of("trunk.gating")),
            "predictions": (z["expected/predictions"], _of("output")),
        }
        valid = np.arange(sizes["T"]) < z["input/num_frames"][:, None]
        inputs = dict(zip(widths, np.split(z["input/x_raw_uint8"], [sizes["vd"]], axis=2), strict=True))
        inputs |= {f"{name}.mask": valid for name in widths}
        for index in sorted(config.parent.glob("*.index")):
            yield Case(index.with_suffix(""), "pomonam", model, overrides, inputs, expected, videos)


OF_SLIM = {"type": "batch_norm", "epsilon": 1e-3, "decay": 0.999, "variance": "unbiased"}


def _compact(sizes: dict[str, Any]) -> dict[str, Any]:
    """The model of a youtube8m-circulant network on normalised features: a stream for each embedding."""
    flags = sizes["flags"]
    norm = {name: value for name, value in OF_SLIM.items() if name != "type"}
    relu6 = {"type": "activation", "function": "relu6"}

    def dense(units: int, circulant: bool) -> dict[str, Any]:
        of_circulant = {"factors": flags["k_factor"], "diagonal": "fixed" if flags["use_d_matrix"] else "learned"}
        return {"type": "circulant_dense" if circulant else "dense", "units": units, "bias": False} | (
            of_circulant if circulant else {}
        )

    def embedding(kind: str, part: int) -> dict[str, Any]:
        if kind == "dbof":
            pool = {"type": "frame_pool", "pooling": flags["dbof_pooling_method"].replace("average", "mean")}
            clusters = dense(flags["dbof_cluster_size"] // part, flags["dbof_circulant"])
            return {"clusters": clusters, "cluster_norm": OF_SLIM, "relu6": relu6, "pool": pool}
        if kind == "moment":
            return {"moments": {"type": "frame_pool", "pooling": ["mean", "variance"]}}
        coupling = {"coupling": flags["fv_coupling_factor"]} if kind == "fisher" and flags["fv_couple_weights"] else {}
        clusters = flags["netvlad_cluster_size" if kind == "netvlad" else "fv_cluster_size"] // part
        return {
            "clusters": {
                "type": "netvlad" if kind == "netvlad" else "net_fv",
                "clusters": clusters,
                "norm": norm,
                **coupling,
            }
        }

    streams = {}
    for part, name in enumerate(("rgb", "audio"), start=1):
        for kind, flag in {
            "dbof": "dbof",
            "netvlad": "netvlad",
            "fisher": "fisher_vector",
            "moment": "moments",
        }.items():
            if flags[f"add_{flag}"]:
                behind = {
                    "hidden": dense(flags["fc_hidden_size"], flags[f"fc_{kind}_circulant"]),
                    "norm": OF_SLIM,
                    "end": relu6,
                }
                streams[f"{name}_{kind}"] = {"input": name, "layers": embedding(kind, part) | behind}
    widths = {"rgb": sizes["vd"], "audio": sizes["ad"]}
    experts = {"type": "mixture_of_experts", "classes": sizes["nc"], "mixtures": flags["moe_num_mixtures"]}
    return {
        "inputs": {name: {"frames": sizes["T"], "features": width} for name, width in widths.items()},
        "streams": streams,
        "trunk": {"experts": experts, "gating": {"type": "context_gating", "norm": norm}},
        "output": "probabilities",
    }


def _side_by_side(streams: dict[str, Any]) -> Callable[[Ours], Array]:
    return lambda ours: np.concatenate([ours[f"{name}.end"] for name in streams], axis=1)


def _circulant(folder: Path) -> Iterator[Case]:
    for config in sorted(folder.glob("circ_*/config.json")):
        sizes = json.loads(config.read_text())
        model = _compact(sizes)
        if (config.parent / "saved_model").is_dir():
            z = _values(config.parent / "saved_model.npz", "input/", "expected/predictions", "expected/class")
            raw = np.concatenate([z["input/rgb"], z["input/audio"]], axis=2) * (4 / 255) + (4 / 512 - 2)
            x = (raw / np.sqrt((raw**2).sum(axis=2, keepdims=True))).astype(np.float32)
            expected, files = {"predictions": _best(z)}, [config.parent / "saved_model"]
        else:
            z = _values(config.parent / "model.npz")
            x = z["expected/input_normalised"]
            expected = {"predictions": (z["expected/predictions"], _of("output"))}
            if "expected/embedding_concat" in z:
                expected["embedding_concat"] = (z["expected/embedding_concat"], _side_by_side(model["streams"]))
            files = [index.with_suffix("") for index in sorted(config.parent.glob("*.index"))]
        inputs = dict(zip(("rgb", "audio"), np.split(x, [sizes["vd"]], axis=2), strict=True))
        for file in files:
            yield Case(file, "youtube8m-circulant", {"model": model}, {}, inputs, expected)


def _nextvlad(classes: int, hidden: int, reduction: int, sizes: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    """Settings of NeXtVLAD. `sizes` has the features, clusters and groups of each modality."""
    overrides: dict[str, Any] = {
        "model.trunk.hidden.units": hidden,
        "model.trunk.gating.reduction": reduction,
        "model.trunk.logits.units": classes,
    }
    for name, (features, clusters, groups) in sizes.items():
        overrides[f"model.inputs.{name}.features"] = features
        overrides[f"model.streams.{name}.layers.nextvlad.clusters"] = clusters
        overrides[f"model.streams.{name}.layers.nextvlad.groups"] = groups
    return overrides


def _linrongc(folder: Path) -> Iterator[Case]:
    for config in sorted(folder.glob("linrongc_nextvlad/config.json")):
        about = json.loads(config.read_text())
        flags, (video, audio) = about["flags"], about["dims"]
        clusters, groups = int(flags["nextvlad_cluster_size"]), int(flags["groups"])
        sizes = {"rgb": (video, clusters, groups), "audio": (audio, clusters // 2, groups // 2)}
        hidden, reduction = int(flags["nextvlad_hidden_size"]), int(flags["gating_reduction"])
        z = _values(config.parent / "model.npz", "input/", "expected/")
        beside = {"model.streams.rgb.layers.unwhiten.eigenvalues": str(config.parent / "eigenvals.npy")}
        valid = np.arange(about["T"]) < z["input/num_frames"][:, None]
        inputs = dict(zip(sizes, np.split(z["input/x_raw_uint8"], [video], axis=2), strict=True))
        inputs |= {f"{name}.mask": valid for name in sizes}
        expected = {
            "classifier_input": (z["expected/classifier_input"], _of("trunk.gating")),
            "logits": (z["expected/logits"], _of("logits")),
            "predictions": (z["expected/predictions"], _of("output")),
        }
        overrides = _nextvlad(about["nc"], hidden, reduction, sizes) | beside
        for index in sorted(config.parent.glob("*.index")):
            file = index.with_suffix("")
            yield Case(file, "linrongc", "youtube8m/nextvlad", overrides, inputs, expected, beside=beside)


def _willow(folder: Path) -> Iterator[Case]:
    for config in sorted(folder.glob("willow*/config.json")):
        about = json.loads(config.read_text())
        flags, widths, clusters = about["flags"], about["dims"], int(about["flags"]["netvlad_cluster_size"])
        z = _values(config.parent / "model.npz", "input/", "expected/")
        overrides: dict[str, Any] = {
            "model.trunk.hidden.units": int(flags["netvlad_hidden_size"]),
            "model.trunk.experts.classes": about["nc"],
            "model.trunk.experts.mixtures": int(flags["moe_num_mixtures"]),
        }
        for name, width, share in zip(("rgb", "audio"), widths, (1, 2), strict=True):
            overrides[f"model.inputs.{name}.features"] = width
            overrides[f"model.inputs.{name}.dtype"] = "float32"  # recorded on frames that are normalised already
            layers = f"model.streams.{name}.layers"
            overrides |= {f"{layers}.dequantize": None, f"{layers}.unit": None}
            overrides[f"{layers}.netvlad.clusters"] = clusters // share
        inputs = dict(zip(("rgb", "audio"), np.split(z["expected/input_normalised"], widths[:1], axis=2), strict=True))
        expected = {
            "classifier_input": (z["expected/classifier_input"], _of("trunk.gating")),
            "predictions": (z["expected/predictions"], _of("output")),
        }
        for index in sorted(config.parent.glob("*.index")):
            yield Case(index.with_suffix(""), "willow", "youtube8m/gated/netvlad", overrides, inputs, expected)


def _paddle_nextvlad(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    z = _values(folder / "nextvlad.npz", "input/", "expected/")
    valid = np.arange(max(sizes["lengths"])) < np.array(sizes["lengths"])[:, None]
    inputs: dict[str, Array] = {}
    for name in ("rgb", "audio"):  # the frames of all videos, one video after the other
        inputs[name] = np.zeros((*valid.shape, z[f"input/{name}"].shape[1]), np.uint8)
        inputs[name][valid] = z[f"input/{name}"]
        inputs[f"{name}.mask"] = valid
    each = (sizes["cluster_size"], sizes["groups"])
    widths = dict(zip(("rgb", "audio"), sizes["dims"], strict=True))
    overrides = _nextvlad(
        sizes["num_classes"],
        sizes["hidden_size"],
        sizes["gating_reduction"],
        {name: (width, *each) for name, width in widths.items()},
    )
    expected = {"logit": (z["expected/logit"], _of("logits")), "output": (z["expected/output"], _of("output"))}
    for pattern in ("NEXTVLAD*.pdparams", "NEXTVLAD*.pdckpt", "NEXTVLAD*_dir", "inference_model"):
        for file in sorted(folder.glob(pattern)):
            yield Case(file, "paddle-nextvlad", "youtube8m/nextvlad:paddle", overrides, inputs, expected)


def cases(folder: Path = FOLDER) -> list[Case]:
    """Every checkpoint of a folder."""
    return [
        *_flash(folder / "flash"),
        *_mindspore(folder / "mindspore"),
        *_paddle(folder / "paddle"),
        *_pomonam(folder / "tf"),
        *_circulant(folder / "tf"),
        *_linrongc(folder / "tf"),
        *_willow(folder / "tf"),
        *(_paddle_nextvlad(folder / "paddle_nextvlad") if (folder / "paddle_nextvlad").is_dir() else []),
    ]
