//! Web sessions, enforced in the mesh.

pub mod http;

proxy_wasm::main! {{
}}
