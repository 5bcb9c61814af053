"""The MindSpore backend, described. Importing this loads no framework."""

from acz.backend.info import ArtefactFormat, BackendInfo

INFO = BackendInfo(
    name="mindspore",
    module="acz_mindspore.backend",
    framework="mindspore",
    distributions=("mindspore",),
    install="acz[mindspore]",
    environment={"GLOG_v": "3"},
    artefact=ArtefactFormat("mindir", ".mindir", "", "mindspore.load and nn.GraphCell", "acz_mindspore.runtime"),
    fft_cost=36.0,
    order=4,
)
