"""The PyTorch backend, described. Importing this loads no framework."""

from acz.backend.info import MASKS, ArtefactFormat, BackendInfo, NativeFormat
from acz_torch.files import recognises
from acz_torch.launch import LAUNCHER

NAMES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double
    dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu items
    keys load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty
    train training type update values xpu zero_grad
    """.split()
)
"""Attributes of torch.nn.Module and torch.nn.ModuleDict, which hold streams and layers by name."""

INFO = BackendInfo(
    name="torch",
    module="acz_torch.backend",
    framework="torch",
    distributions=("torch",),
    install="acz[torch]",
    artefacts=(ArtefactFormat("pt2", ".pt2", "", "torch.export.load", "acz_torch.runtime", masks=MASKS),),
    native=NativeFormat(
        "torch", "", recognises, 'acz.build(spec, "torch").load_state_dict(torch.load(FILE, weights_only=True))'
    ),
    networks=(".pt2", ".pt"),
    low_precisions={
        "tf32": "operands are rounded, products are float32's",
        "bfloat16": "large products by oneDNN's kernel, else operands are rounded",
        "float16": "operands are rounded, products are float32's",
    },
    fft_cost=5.0,
    reserved_names=NAMES,
    reserved_streams=frozenset("device dtype finish logits returns_logits spec".split()),
    launcher=LAUNCHER,
    order=1,
)
