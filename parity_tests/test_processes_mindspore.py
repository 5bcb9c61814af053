"""Several processes of MindSpore train one model as one process does, however they are started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from acz_mindspore.launch import LAUNCHER

from acz.backend.processes import Cluster
from acz.foundation.processes.ports import LOOPBACK, free_port
from parity_tests.conftest import require
from parity_tests.processes_cases import run_members

pytestmark = pytest.mark.slow

MODEL = "layers/batch_norm"
"""A small model with batch norms of videos and of padded frames: each process compiles each form."""

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""A search path for msrun, and for the `python` that msrun calls."""

RANKS = """
import sys

import acz
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.communication import get_rank, init

world = int(sys.argv[1])
ms.set_device("CPU")
rank = 0
if world > 1:
    init()
    rank = get_rank()
module = acz.build("flash_mnist/attention_cluster:tiny", "mindspore", logits=True, seed=3).set_train(False)
source = np.random.default_rng(0)
x = source.standard_normal((8, 5, module.spec.inputs["features"].features)).astype(np.float32)
labels = (np.arange(8) % module.spec.width).astype(np.int32)
part = slice(rank * 8 // world, (rank + 1) * 8 // world)
loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
optimizer = nn.Adam(module.trainable_params(), learning_rate=0.01)
reducer = nn.DistributedGradReducer(optimizer.parameters, mean=True) if world > 1 else None


def loss_of(x, labels):
    return loss(module(x), labels)


gradients_of = ms.value_and_grad(loss_of, None, optimizer.parameters)
for _ in range(5):
    _, gradients = gradients_of(Tensor(x[part]), Tensor(labels[part]))
    optimizer(reducer(gradients) if reducer else gradients)
np.savez(f"{world}-{rank}.npz", **{p.name: p.asnumpy() for p in module.get_parameters()})
"""


def test_the_command_starts_processes_that_know_their_places(tmp_path: Path) -> None:
    require("mindspore")
    members = run_members("mindspore", LAUNCHER.commands(Cluster((LOOPBACK,), 2, free_port()), 0, "CPU", []), tmp_path)
    assert members == [[f"rank {n} of 2, by msrun", n, 2, [2.0, 2.0**-52]] for n in range(2)]
    assert {path.name for path in tmp_path.iterdir()} == {"0.json", "1.json", "member.py", "msrun-logs"}


def test_two_processes_of_msrun_compute_what_one_does(tmp_path: Path) -> None:
    require("mindspore")
    (tmp_path / "ranks.py").write_text(RANKS)
    launcher = ["msrun", "--worker_num=2", "--local_worker_num=2", "--master_addr=127.0.0.1"]
    launcher += [f"--master_port={free_port()}", "--log_dir=logs", "--join=True"]
    environment = {**os.environ, "PATH": PATH}
    for words in ([*launcher, "ranks.py", "2"], [sys.executable, "ranks.py", "1"]):
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        logs = "".join(path.read_text(errors="replace")[-2000:] for path in tmp_path.glob("logs/*.log"))
        assert done.returncode == 0, done.stderr[-2000:] + logs
    whole, first, second = (np.load(tmp_path / f"{name}.npz") for name in ("1-0", "2-0", "2-1"))
    for name in whole.files:
        assert np.array_equal(first[name], second[name]), name
        np.testing.assert_allclose(first[name], whole[name], rtol=0, atol=1e-5, err_msg=name)
