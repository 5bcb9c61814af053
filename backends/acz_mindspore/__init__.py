"""The MindSpore backend, described. Importing this loads no framework."""

from acz.backend.info import MASKS, ArtefactFormat, BackendInfo, NativeFormat
from acz_mindspore.files import recognises
from acz_mindspore.launch import LAUNCHER

NAMES = frozenset(
    """
    IGNORE_LIST T_destination add_flags add_flags_recursive apply arguments_key bprop_debug buffers cast_inputs
    cell_init_args cell_type cells cells_and_names check_names check_names_and_refresh_name clear cls_name compile
    compile_and_run compile_cache compile_phase compiled construct create_time enable_backward_hook exist_names
    exist_objs extend_repr generate_scope get_buffer get_extra_state get_flags get_func_graph_proto get_inputs
    get_mixed_precision_type get_parameters get_scope get_sub_cell global_cells grad_ops_label has_bprop
    init_parameters_data insert_child_to_cell insert_param_to_cell is_top_cell items jit_config_dict keys
    load_state_dict mixed_precision_type name_cells named_buffers offload parallel_parameter_merge_net_dict
    parallel_parameter_name_list param_prefix parameter_layout_dict parameters_and_names parameters_broadcast_dict
    parameters_dict phase phase_cache pipeline_segment pipeline_stage pop recompute register_backward_hook
    register_backward_pre_hook register_buffer register_forward_hook register_forward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_parameter_forward_hook
    register_saved_tensors_hooks register_state_dict_post_hook register_state_dict_pre_hook
    remove_redundant_parameters requires_grad run_construct set_boost set_broadcast_flag set_comm_fusion
    set_data_parallel set_extra_state set_grad set_inputs set_jit_config set_mixed_precision_type set_train shard
    state_dict to to_empty to_float total_instance_count trainable_params training untrainable_params update
    update_cell_prefix update_cell_type update_parameters_name values
    """.split()
)
"""Attributes of mindspore.nn.Cell and mindspore.nn.CellDict, which hold streams and layers by name."""

INFO = BackendInfo(
    name="mindspore",
    module="acz_mindspore.backend",
    framework="mindspore",
    distributions=("mindspore",),
    install="acz[mindspore]",
    pythons=("3.11", "3.12"),
    environment={"GLOG_v": "3"},
    artefacts=(
        ArtefactFormat(
            "mindir", ".mindir", "", "mindspore.load and nn.GraphCell", "acz_mindspore.runtime", masks=MASKS
        ),
    ),
    native=NativeFormat(
        "mindspore",
        ".ckpt",
        recognises,
        'mindspore.load_param_into_net(acz.build(spec, "mindspore"), mindspore.load_checkpoint(FILE))',
    ),
    low_precisions=dict.fromkeys(("float16",), "operands are rounded, products are float32's"),
    fft_cost=36.0,
    reserved_names=NAMES,
    reserved_streams=frozenset("dtype finish input logits logits_and_records output returns_logits spec".split()),
    launcher=LAUNCHER,
    order=4,
)
