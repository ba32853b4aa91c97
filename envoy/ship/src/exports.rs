//! What the module that ships exports, and why each name stays.
//!
//! Envoy calls every callback that it finds, for each request, whether the filter does something there or not; and
//! the SDK exports them all. What the filter does not implement is therefore left out: `proxy_on_response_headers` and
//! its like, `proxy_on_tick` (the filter sets no timer), `proxy_on_log`, TCP and gRPC. A filter that implements
//! another callback needs its name here.

/// An export that stays, and what it is there for.
pub struct Export {
    pub name: &'static str,
    pub why: &'static str,
}

/// In the order of the module's life.
pub const EXPORTS: [Export; 13] = [
    keep("memory", "the host reads and writes it in every call"),
    keep("proxy_abi_version_0_2_1", "names the ABI; Envoy refuses a module without one"),
    keep("_initialize", "the start function, which registers the filter's root context with the SDK"),
    keep("proxy_on_memory_allocate", "room for what the host hands over; Envoy refuses a module without it or malloc"),
    keep("proxy_on_context_create", "a configuration or a request begins; every other callback needs its context"),
    keep("proxy_on_vm_start", "part of a configuration's start; the SDK says yes"),
    keep("proxy_on_configure", "the filter reads its configuration, and refuses a bad one"),
    keep("proxy_on_request_headers", "the filter decides"),
    keep("proxy_on_request_trailers", "forged headers are taken out of trailers too"),
    keep("proxy_on_http_call_response", "rest-sessions has answered"),
    keep("proxy_on_queue_ready", "more of those who waited for one answer are settled; the filter calls it as well"),
    keep("proxy_on_done", "a request has ended, or a configuration goes"),
    keep("proxy_on_delete", "the SDK frees the context; without it each request would leak its own"),
];

const fn keep(name: &'static str, why: &'static str) -> Export {
    Export { name, why }
}
