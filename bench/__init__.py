"""The benchmarks: what the filter costs in a real Envoy, beside what else could do its work, and what rest-sessions
costs, beside an earlier revision of it."""
