"""The benchmark of rest-sessions, beside an earlier revision of it."""
