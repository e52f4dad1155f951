"""The server: an exported model behind HTTP and gRPC, as TensorFlow Serving's clients expect it."""
