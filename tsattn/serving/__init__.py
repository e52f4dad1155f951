"""Server for exported models: TensorFlow Serving's HTTP and gRPC APIs, the Open Inference Protocol and a web page."""
