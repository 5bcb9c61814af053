"""The PyTorch backend, described. Importing this loads no framework."""

from acz.backend.info import ArtefactFormat, BackendInfo

INFO = BackendInfo(
    name="torch",
    module="acz_torch.backend",
    framework="torch",
    distributions=("torch",),
    install="acz[torch]",
    artefact=ArtefactFormat("pt2", ".pt2", "", "torch.export.load", "acz_torch.runtime"),
    fft_cost=5.0,
    order=1,
)
