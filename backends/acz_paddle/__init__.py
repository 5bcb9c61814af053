"""The PaddlePaddle backend, described. Importing this loads no framework."""

from acz.backend.info import ArtefactFormat, BackendInfo

INFO = BackendInfo(
    name="paddle",
    module="acz_paddle.backend",
    framework="paddle",
    distributions=("paddlepaddle", "paddlepaddle-gpu"),
    install="acz[paddle]",
    environment={"GLOG_minloglevel": "3"},
    artefact=ArtefactFormat("paddle", "", "model.pdiparams", "paddle.inference", "acz_paddle.runtime"),
    fft_cost=6.0,
    order=3,
)
