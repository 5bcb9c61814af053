"""The systems whose files are read, each in one file."""

from __future__ import annotations

from acz.convert.systems.flash_mnist import FLASH_MNIST
from acz.convert.systems.mindspore_port import MINDSPORE_PORT
from acz.convert.systems.own import OWN
from acz.convert.systems.paddle_video import PADDLE_VIDEO
from acz.convert.systems.pomonam import POMONAM
from acz.convert.systems.youtube8m_circulant import YOUTUBE8M_CIRCULANT
from acz.convert.table import System

SYSTEMS: dict[str, System] = {
    system.name: system for system in (FLASH_MNIST, MINDSPORE_PORT, PADDLE_VIDEO, POMONAM, YOUTUBE8M_CIRCULANT, OWN)
}
