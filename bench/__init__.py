"""The benchmark: what the filter costs in a real Envoy, beside what else could do its work."""
