"""Two backends outside of acz, described: the least that one needs, and the same with an export. Imports no framework."""

from dataclasses import replace

from acz.backend.info import ArtefactFormat, BackendInfo

INFO = BackendInfo(
    name="mirror",
    module="mirror.backend",
    framework="numpy",
    distributions=("mirror", "numpy"),
    install="mirror",
    exclusive=False,
)
EXPORTING = replace(
    INFO,
    name="mirror_export",
    module="mirror.exporting",
    artefacts=(ArtefactFormat("mirror", ".mirror", "", "mirror.runtime", "mirror.runtime"),),
)
