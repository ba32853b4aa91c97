//! The counters of outcomes, named by the contract and not by the code that is tested.

/// Each request raises exactly one of them, by one.
pub const OUTCOMES: [&str; 21] = [
    "allowed_total",
    "anonymous_total",
    "off_total",
    "preflight_total",
    "denied_no_session_total",
    "denied_forbidden_total",
    "denied_origin_total",
    "denied_ambiguous_path_total",
    "denied_bad_host_total",
    "denied_bad_method_total",
    "denied_unknown_host_total",
    "denied_unavailable_total",
    "denied_busy_total",
    "redirected_total",
    "failed_open_total",
    "session_too_large_total",
    "logouts_total",
    "logout_failures_total",
    "shadow_allowed_total",
    "shadow_denied_total",
    "abandoned_total",
];
