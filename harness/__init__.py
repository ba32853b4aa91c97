"""What `make run`, the benchmark and the tests in Python share: processes, Envoy, rest-sessions and the demo."""
