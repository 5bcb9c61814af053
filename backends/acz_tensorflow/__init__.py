"""The TensorFlow backend, described. Importing this loads no framework."""

from acz.backend.info import ArtefactFormat, BackendInfo

INFO = BackendInfo(
    name="tensorflow",
    module="acz_tensorflow.backend",
    framework="tensorflow",
    distributions=("tensorflow", "tensorflow-cpu"),
    install="acz[tensorflow]",
    environment={"TF_CPP_MIN_LOG_LEVEL": "3"},
    artefact=ArtefactFormat("saved-model", "", "saved_model.pb", "tf.saved_model.load", "acz_tensorflow.runtime"),
    fft_cost=6.0,
    order=2,
)
