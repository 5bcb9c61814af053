"""PyTorch's own files: a state_dict by torch.save."""

from __future__ import annotations

from pathlib import Path

import torch

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz_torch.model import Model


def save_native(model: Model, path: Path) -> None:
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, path)


def read_native(path: Path) -> dict[str, Array]:
    """Any state_dict, of any version, from any device; `weights_only`, so nothing in the file is run."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise DataError("it holds no state_dict, a dictionary of tensors by name")
    whole = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in found.items()}
    return {str(name): value.detach().numpy() for name, value in whole.items()}
