"""The PaddlePaddle backend, described. Importing this loads no framework."""

from acz.backend.info import MASKS, ArtefactFormat, BackendInfo, NativeFormat
from acz_paddle.files import recognises
from acz_paddle.launch import LAUNCHER

NAMES = frozenset(
    """
    add_module add_parameter add_sublayer apply astype backward bfloat16 buffers children clear clear_gradients cpu
    create_parameter create_tensor create_variable cuda double eval extra_repr float float16 forward full full_name
    get_buffer get_extra_state get_parameter get_sublayer get_submodule half items keys load_dict load_state_dict
    modules named_buffers named_children named_modules named_parameters named_sublayers parameters pop
    register_buffer register_forward_hook register_forward_post_hook register_forward_pre_hook register_module
    register_parameter register_state_dict_hook requires_grad_ set_dict set_state_dict set_sublayer set_submodule
    sharded_state_dict state_dict sublayers to to_static_state_dict train training type update values xpu zero_grad
    """.split()
)
"""Attributes of paddle.nn.Layer and paddle.nn.LayerDict, which hold streams and layers by name."""

INFO = BackendInfo(
    name="paddle",
    module="acz_paddle.backend",
    framework="paddle",
    distributions=("paddlepaddle", "paddlepaddle-gpu"),
    install="acz[paddle]",
    environment={"GLOG_minloglevel": "3", "NVIDIA_TF32_OVERRIDE": "0"},
    artefacts=(ArtefactFormat("paddle", "", "model.pdiparams", "paddle.inference", "acz_paddle.runtime", masks=MASKS),),
    native=NativeFormat("paddle", "", recognises, 'acz.build(spec, "paddle").set_state_dict(paddle.load(FILE))'),
    low_precisions=dict.fromkeys(("tf32", "bfloat16", "float16"), "operands are rounded, products are float32's"),
    fft_cost=6.0,
    reserved_names=NAMES,
    reserved_streams=frozenset("device dtype finish logits place returns_logits spec".split()),
    launcher=LAUNCHER,
    order=3,
)
