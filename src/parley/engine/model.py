"""ONNX models on the CPU, and onnxruntime kept to itself."""

import os

# From 1.32 on onnxruntime, when it is imported, opens a database for usage reports to its maker below the user's cache
# folder (seen with 1.32.0 on Linux). Who wants that can say so in the environment.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from onnxruntime import InferenceSession as InferenceSession
from onnxruntime import SessionOptions


def load_model(content: bytes) -> InferenceSession:
    """A model from its file's content: one thread, which also makes results repeatable, and no spinning while idle."""
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return InferenceSession(content, options, providers=["CPUExecutionProvider"])
