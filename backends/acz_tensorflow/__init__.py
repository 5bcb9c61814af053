"""The TensorFlow backend, described. Importing this loads no framework."""

from acz.backend.info import MASKS, ArtefactFormat, BackendInfo, NativeFormat
from acz_tensorflow.files import recognises
from acz_tensorflow.launch import LAUNCHER

NAMES = frozenset(
    """
    activity_regularizer add_loss add_metric add_variable add_weight autocast build build_from_config built call
    call_signature_parameters compile compile_from_config compiled compiled_loss compiled_metrics compute_dtype
    compute_loss compute_mask compute_metrics compute_output_shape compute_output_spec count_params
    distribute_reduction_method distribute_strategy dtype dtype_policy evaluate export fit from_config
    get_build_config get_compile_config get_config get_layer get_metrics_result get_quantization_layer_structure
    get_state_tree get_weights input_dtype input_spec jit_compile layers load_own_variables load_weights loss losses
    make_predict_function make_test_function make_train_function metrics metrics_names metrics_variables name
    non_trainable_variables non_trainable_weights path predict predict_function predict_on_batch predict_step
    quantization_mode quantize quantized_build quantized_call rematerialized_call reset_metrics run_eagerly save
    save_own_variables save_weights set_state_tree set_weights stateless_call stateless_compute_loss
    steps_per_execution summary supports_jit supports_masking symbolic_call test_function test_on_batch test_step
    to_json train_function train_on_batch train_step trainable trainable_variables trainable_weights
    unrolled_steps_per_execution variable_dtype variables weights
    """.split()
)
"""Attributes of keras.Model, which hold streams and layers by name."""

INFO = BackendInfo(
    name="tensorflow",
    module="acz_tensorflow.backend",
    framework="tensorflow",
    distributions=("tensorflow", "tensorflow-cpu"),
    install="acz[tensorflow]",
    environment={"TF_CPP_MIN_LOG_LEVEL": "3"},
    artefacts=(
        ArtefactFormat(
            "saved-model", "", "saved_model.pb", "tf.saved_model.load", "acz_tensorflow.runtime", masks=MASKS
        ),
        ArtefactFormat(
            "tflite",
            ".tflite",
            "",
            "LiteRT",
            "acz_tensorflow.litert",
            "export_tflite",
            weights=("float32", "float16", "int8"),
            masks=MASKS,
            needs="ai_edge_litert",
            needs_install="acz[litert]",
            transforms=False,
        ),
    ),
    native=NativeFormat("keras", ".keras", recognises, "import acz_tensorflow.model; keras.models.load_model(FILE)"),
    networks=(".pb",),
    mixed_precision="keras.config.set_dtype_policy('mixed_bfloat16')",
    low_precisions=dict.fromkeys(("tf32", "bfloat16", "float16"), "operands are rounded, products are float32's"),
    fft_cost=6.0,
    reserved_names=NAMES,
    reserved_streams=frozenset(
        "device finish graphs input logits output products replace replaced returns_logits spec state steps".split()
    ),
    launcher=LAUNCHER,
    order=2,
)
