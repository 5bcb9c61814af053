"""acz: one description of a video-classification model, run by four frameworks, proved to be the same function.

The public names. Each is loaded when it is first used, so that `import acz` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acz.foundation.version import __version__

if TYPE_CHECKING:
    from acz import reference
    from acz.api.data.flash_mnist import make_flash_mnist
    from acz.api.data.tagging import TaggedVideos, infer_video, watch_videos
    from acz.api.data.videos import CheckedFeatures, MadeData, check_features, list_features, make_clips, make_videos
    from acz.api.data.youtube8m import convert_youtube8m, describe_youtube8m, synthesize_youtube8m
    from acz.api.datasets import describe_data, open_data, show_video, verify_data, write_data
    from acz.api.evaluation import Evaluation, evaluate, evaluate_predictions
    from acz.api.exchange import (
        Artefact,
        AverageOfCheckpoints,
        Converted,
        NativeFile,
        average_checkpoints,
        convert,
        export,
        list_formats,
        save_native,
    )
    from acz.api.inference import Inferred, average_predictions, infer
    from acz.api.models import (
        BackendState,
        LayerInfo,
        build,
        draw_model,
        list_backends,
        list_layers,
        list_models,
        load,
    )
    from acz.api.parity import (
        BackendReport,
        ParityReport,
        ProofReport,
        check_backend,
        check_parity,
        check_record,
        record_parity,
        show_proofs,
        verify_proof,
    )
    from acz.api.results import WrittenData
    from acz.api.studies import BenchReport, Report, bench, report
    from acz.api.sweeps import PlannedTrial, Sweep, plan_sweep, sweep
    from acz.api.training import LaunchPlan, Trained, plan_launch, resume, train
    from acz.backend.info import ArtefactFormat, BackendInfo, NativeFormat
    from acz.backend.registry import find_backend
    from acz.data.base import Data, Examples
    from acz.data.folder import write_manifest, write_shard
    from acz.evaluation.metrics import Accuracy, YouTube8MMetrics
    from acz.evaluation.metrics.figures import FIGURES, Figure
    from acz.foundation.errors import (
        AczError,
        CheckFailed,
        CheckpointError,
        DataError,
        InputError,
        Interrupted,
        MissingError,
        RankFailed,
        SpecError,
    )
    from acz.foundation.progress import Progress
    from acz.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from acz.model.losses import LOSSES, Loss
    from acz.model.optimizer import Adam
    from acz.model.precision import Precision
    from acz.model.spec import Spec
    from acz.zoo.config import Config, load_config, load_spec

_HOMES = {
    "reference": "acz.reference",
    "train": "acz.api.training",
    "resume": "acz.api.training",
    "Trained": "acz.api.training",
    "plan_launch": "acz.api.training",
    "LaunchPlan": "acz.api.training",
    "evaluate": "acz.api.evaluation",
    "evaluate_predictions": "acz.api.evaluation",
    "Evaluation": "acz.api.evaluation",
    "infer": "acz.api.inference",
    "average_predictions": "acz.api.inference",
    "Inferred": "acz.api.inference",
    "export": "acz.api.exchange",
    "convert": "acz.api.exchange",
    "save_native": "acz.api.exchange",
    "list_formats": "acz.api.exchange",
    "average_checkpoints": "acz.api.exchange",
    "Artefact": "acz.api.exchange",
    "AverageOfCheckpoints": "acz.api.exchange",
    "Converted": "acz.api.exchange",
    "NativeFile": "acz.api.exchange",
    "check_parity": "acz.api.parity",
    "ParityReport": "acz.api.parity",
    "check_backend": "acz.api.parity",
    "BackendReport": "acz.api.parity",
    "record_parity": "acz.api.parity",
    "check_record": "acz.api.parity",
    "show_proofs": "acz.api.parity",
    "verify_proof": "acz.api.parity",
    "ProofReport": "acz.api.parity",
    "bench": "acz.api.studies",
    "BenchReport": "acz.api.studies",
    "report": "acz.api.studies",
    "sweep": "acz.api.sweeps",
    "plan_sweep": "acz.api.sweeps",
    "Report": "acz.api.studies",
    "Sweep": "acz.api.sweeps",
    "PlannedTrial": "acz.api.sweeps",
    "open_data": "acz.api.datasets",
    "make_flash_mnist": "acz.api.data.flash_mnist",
    "write_data": "acz.api.datasets",
    "WrittenData": "acz.api.results",
    "verify_data": "acz.api.datasets",
    "describe_data": "acz.api.datasets",
    "show_video": "acz.api.datasets",
    "infer_video": "acz.api.data.tagging",
    "watch_videos": "acz.api.data.tagging",
    "TaggedVideos": "acz.api.data.tagging",
    "make_clips": "acz.api.data.videos",
    "make_videos": "acz.api.data.videos",
    "MadeData": "acz.api.data.videos",
    "list_features": "acz.api.data.videos",
    "check_features": "acz.api.data.videos",
    "CheckedFeatures": "acz.api.data.videos",
    "describe_youtube8m": "acz.api.data.youtube8m",
    "convert_youtube8m": "acz.api.data.youtube8m",
    "synthesize_youtube8m": "acz.api.data.youtube8m",
    "list_models": "acz.api.models",
    "list_layers": "acz.api.models",
    "LayerInfo": "acz.api.models",
    "list_backends": "acz.api.models",
    "build": "acz.api.models",
    "load": "acz.api.models",
    "draw_model": "acz.api.models",
    "BackendState": "acz.api.models",
    "load_config": "acz.zoo.config",
    "load_spec": "acz.zoo.config",
    "Config": "acz.zoo.config",
    "load_checkpoint": "acz.model.checkpoint",
    "save_checkpoint": "acz.model.checkpoint",
    "Checkpoint": "acz.model.checkpoint",
    "Spec": "acz.model.spec",
    "LOSSES": "acz.model.losses",
    "Loss": "acz.model.losses",
    "Adam": "acz.model.optimizer",
    "Precision": "acz.model.precision",
    "YouTube8MMetrics": "acz.evaluation.metrics",
    "Accuracy": "acz.evaluation.metrics",
    "FIGURES": "acz.evaluation.metrics.figures",
    "Figure": "acz.evaluation.metrics.figures",
    "BackendInfo": "acz.backend.info",
    "ArtefactFormat": "acz.backend.info",
    "NativeFormat": "acz.backend.info",
    "find_backend": "acz.backend.registry",
    "Data": "acz.data.base",
    "Examples": "acz.data.base",
    "write_shard": "acz.data.folder",
    "write_manifest": "acz.data.folder",
    "Progress": "acz.foundation.progress",
    "AczError": "acz.foundation.errors",
    "SpecError": "acz.foundation.errors",
    "DataError": "acz.foundation.errors",
    "CheckpointError": "acz.foundation.errors",
    "CheckFailed": "acz.foundation.errors",
    "MissingError": "acz.foundation.errors",
    "RankFailed": "acz.foundation.errors",
    "InputError": "acz.foundation.errors",
    "Interrupted": "acz.foundation.errors",
}
"""The module of each public name."""

__all__ = [
    "FIGURES",
    "LOSSES",
    "Accuracy",
    "AczError",
    "Adam",
    "Artefact",
    "ArtefactFormat",
    "AverageOfCheckpoints",
    "BackendInfo",
    "BackendReport",
    "BackendState",
    "BenchReport",
    "CheckFailed",
    "CheckedFeatures",
    "Checkpoint",
    "CheckpointError",
    "Config",
    "Converted",
    "Data",
    "DataError",
    "Evaluation",
    "Examples",
    "Figure",
    "Inferred",
    "InputError",
    "Interrupted",
    "LaunchPlan",
    "LayerInfo",
    "Loss",
    "MadeData",
    "MissingError",
    "NativeFile",
    "NativeFormat",
    "ParityReport",
    "PlannedTrial",
    "Precision",
    "Progress",
    "ProofReport",
    "RankFailed",
    "Report",
    "Spec",
    "SpecError",
    "Sweep",
    "TaggedVideos",
    "Trained",
    "WrittenData",
    "YouTube8MMetrics",
    "__version__",
    "average_checkpoints",
    "average_predictions",
    "bench",
    "build",
    "check_backend",
    "check_features",
    "check_parity",
    "check_record",
    "convert",
    "convert_youtube8m",
    "describe_data",
    "describe_youtube8m",
    "draw_model",
    "evaluate",
    "evaluate_predictions",
    "export",
    "find_backend",
    "infer",
    "infer_video",
    "list_backends",
    "list_features",
    "list_formats",
    "list_layers",
    "list_models",
    "load",
    "load_checkpoint",
    "load_config",
    "load_spec",
    "make_clips",
    "make_flash_mnist",
    "make_videos",
    "open_data",
    "plan_launch",
    "plan_sweep",
    "record_parity",
    "reference",
    "report",
    "resume",
    "save_checkpoint",
    "save_native",
    "show_proofs",
    "show_video",
    "sweep",
    "synthesize_youtube8m",
    "train",
    "verify_data",
    "verify_proof",
    "watch_videos",
    "write_data",
    "write_manifest",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used."""
    if name == "reference":
        return import_module("acz.reference")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'acz' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
