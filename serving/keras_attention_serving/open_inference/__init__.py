"""The Open Inference Protocol (KServe V2) over HTTP and gRPC, for the models that are served."""
