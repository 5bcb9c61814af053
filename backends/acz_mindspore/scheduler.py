"""The scheduler of several processes, without a rank: `python -m acz_mindspore.scheduler`. They meet at it, and it ends with them."""

import mindspore as ms
from mindspore.communication import init

if __name__ == "__main__":
    ms.set_device("CPU")
    init()
