"""The JAX backend, described. Importing this loads no framework."""

from acz.backend.info import MASKS, ArtefactFormat, BackendInfo, NativeFormat
from acz_jax.files import recognises

INFO = BackendInfo(
    name="jax",
    module="acz_jax.backend",
    framework="jax",
    distributions=("jax", "jaxlib"),
    install="acz-jax",
    environment={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # other processes share the device
    artefacts=(ArtefactFormat("stablehlo", ".stablehlo", "", "jax.export", "acz_jax.runtime", masks=MASKS),),
    native=NativeFormat("jax", ".npz", recognises, "jax.numpy.load(FILE)"),
    fft_cost=5.0,
    order=5,
)
