"""The systems whose files are read. Each one has a file."""

from __future__ import annotations

from acz.exchange.weights.matching import System
from acz.exchange.weights.systems.flash_mnist import FLASH_MNIST
from acz.exchange.weights.systems.mindspore_port import MINDSPORE_PORT
from acz.exchange.weights.systems.nextvlad import LINRONGC, PADDLE_NEXTVLAD
from acz.exchange.weights.systems.own import OWN
from acz.exchange.weights.systems.paddle_video import PADDLE_VIDEO
from acz.exchange.weights.systems.pomonam import POMONAM
from acz.exchange.weights.systems.willow import WILLOW
from acz.exchange.weights.systems.youtube8m_circulant import YOUTUBE8M_CIRCULANT

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        FLASH_MNIST,
        MINDSPORE_PORT,
        PADDLE_VIDEO,
        PADDLE_NEXTVLAD,
        LINRONGC,
        POMONAM,
        YOUTUBE8M_CIRCULANT,
        WILLOW,
        OWN,
    )
}
