"""Names that streams and layers can't have: attributes of the frameworks' modules, or of ours.

A test in every backend sees to it that the list is whole.
"""

from __future__ import annotations

OWN = frozenset(
    "trunk logits finish spec state steps graphs sources dtype device output input call inputs labels".split()
)
"""What a stream or an input can't be called beside: our own modules, and the data's labels, have these."""

TAKEN = frozenset(
    """
    False IGNORE_LIST None T_destination True activity_regularizer add_flags add_flags_recursive add_loss
    add_metric add_module add_parameter add_sublayer add_variable add_weight and apply arguments_key as assert
    astype async autocast await backward bfloat16 bprop_debug break buffers build build_from_config built call
    call_signature_parameters call_super_init cast_inputs cell_init_args cell_type cells cells_and_names
    check_names check_names_and_refresh_name children class clear clear_gradients cls_name compile
    compile_and_run compile_cache compile_from_config compile_phase compiled compiled_loss compiled_metrics
    compute_dtype compute_loss compute_mask compute_metrics compute_output_shape compute_output_spec construct
    continue count_params cpu create_parameter create_tensor create_time create_variable cuda def del
    distribute_reduction_method distribute_strategy double dtype dtype_policy dump_patches elif else
    enable_backward_hook eval evaluate except exist_names exist_objs export extend_repr extra_repr finally fit
    float float16 for forward from from_config full full_name generate_scope get_buffer get_build_config
    get_compile_config get_config get_extra_state get_flags get_func_graph_proto get_inputs get_layer
    get_metrics_result get_mixed_precision_type get_parameter get_parameters get_quantization_layer_structure
    get_scope get_state_tree get_sub_cell get_sublayer get_submodule get_weights global global_cells
    grad_ops_label half has_bprop if import in init_parameters_data input_dtype input_spec insert_child_to_cell
    insert_param_to_cell ipu is is_top_cell items jit_compile jit_config_dict keys lambda layers load_dict
    load_own_variables load_state_dict load_weights loss losses make_predict_function make_test_function
    make_train_function metrics metrics_names metrics_variables mixed_precision_type modules mtia name
    name_cells named_buffers named_children named_modules named_parameters named_sublayers
    non_trainable_variables non_trainable_weights nonlocal not offload or parallel_parameter_merge_net_dict
    parallel_parameter_name_list param_prefix parameter_layout_dict parameters parameters_and_names
    parameters_broadcast_dict parameters_dict pass path phase phase_cache pipeline_segment pipeline_stage pop
    predict predict_function predict_on_batch predict_step quantization_mode quantize quantized_build
    quantized_call raise recompute register_backward_hook register_backward_pre_hook register_buffer
    register_forward_hook register_forward_post_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_parameter_forward_hook register_saved_tensors_hooks
    register_state_dict_hook register_state_dict_post_hook register_state_dict_pre_hook rematerialized_call
    remove_redundant_parameters requires_grad requires_grad_ reset_metrics return run_construct run_eagerly save
    save_own_variables save_weights set_boost set_broadcast_flag set_comm_fusion set_data_parallel set_dict
    set_extra_state set_grad set_inputs set_jit_config set_mixed_precision_type set_state_dict set_state_tree
    set_sublayer set_submodule set_train set_weights shard sharded_state_dict share_memory state_dict
    stateless_call stateless_compute_loss steps_per_execution sublayers summary supports_jit supports_masking
    symbolic_call test_function test_on_batch test_step to to_empty to_float to_json to_static_state_dict
    total_instance_count train train_function train_on_batch train_step trainable trainable_params
    trainable_variables trainable_weights training try type unrolled_steps_per_execution untrainable_params
    update update_cell_prefix update_cell_type update_parameters_name values variable_dtype variables weights
    while with xpu yield zero_grad
    """.split()
)
