"""Settings of TensorFlow sessions: a file, and the flags that override parts of it."""

import logging

from keras_attention_serving.protocol import text_proto, wire
from keras_attention_serving.settings.options import Options

logger = logging.getLogger(__name__)

_ON = 1  # RewriterConfig.ON


def session_config(options: Options) -> bytes:
    """The serialized `ConfigProto` that the flags describe.

    Raises `errors.ServingError` if the file cannot be read or holds something else.
    """
    config = wire.ConfigProto()
    if options.tensorflow_session_config_file:
        config = text_proto.read(options.tensorflow_session_config_file, wire.ConfigProto)
    both = options.tensorflow_session_parallelism
    intra, inter = options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism
    if intra > 0 or inter > 0:
        config.intra_op_parallelism_threads = intra
        config.inter_op_parallelism_threads = inter
    elif both > 0:
        config.intra_op_parallelism_threads = both
        config.inter_op_parallelism_threads = both
    if options.per_process_gpu_memory_fraction > 0:
        fraction = options.per_process_gpu_memory_fraction
        config.gpu_options.per_process_gpu_memory_fraction = fraction
    if options.mixed_precision == "bfloat16":
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = _ON
    elif options.mixed_precision:
        logger.warning(
            "%s auto mixed precision is not supported, bfloat16 is.", options.mixed_precision
        )
    data: bytes = config.SerializeToString()
    return data
