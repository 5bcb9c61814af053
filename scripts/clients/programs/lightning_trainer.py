"""Predicts with PyTorch Lightning's Trainer, with the native module inside a LightningModule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

import acz
from acz.backend.signature import ports

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


class Predictor(lightning.LightningModule):
    """A module as Lightning takes it; a batch is the dictionary of its inputs."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def predict_step(self, batch: Any) -> torch.Tensor:
        return self.module(batch)


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by an artefact's input names to arrays by output name."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    checkpoint = acz.load_checkpoint(path)
    model = Predictor(acz.build(checkpoint.spec, "torch", checkpoint.parameters))
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", devices=1, enable_checkpointing=False, **quiet)

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        batch = {port.key: torch.from_numpy(inputs[port.name]) for port in ports(checkpoint.spec)}
        (output,) = trainer.predict(model, DataLoader([batch], batch_size=None))
        return {"output": output.numpy()}

    return run, {}
