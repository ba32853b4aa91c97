//! The shipped module in `dist`: its exports, its size and its sections. `make test` builds it first.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wasmi::{Engine, Module};

/// V8 compiles the module for every worker at start, so its size in bytes is limited.
const MAX_BYTES: usize = 345_000;

/// An entry of `envoy/module/exports.json`, in the format of binaryen's `wasm-metadce`.
#[derive(Deserialize)]
struct Export {
    name: String,
    export: String,
    root: bool,
    why: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn bytes() -> Vec<u8> {
    let path = root().join("dist/rest_sessions_filter.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make test` builds it", path.display()))
}

fn listed() -> Vec<Export> {
    let text = fs::read(root().join("envoy/module/exports.json")).expect("the list of exports can be read");
    serde_json::from_slice(&text).expect("the list of exports is JSON")
}

#[test]
fn the_module_exports_exactly_the_listed_functions() {
    let module = Module::new(&Engine::default(), bytes()).expect("the module is valid");
    let mut found: Vec<_> = module.exports().map(|export| export.name().to_owned()).collect();
    let mut listed: Vec<_> = listed().into_iter().map(|export| export.export).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed, "the exports of the module, and those listed");
}

#[test]
fn every_listed_export_has_a_reason() {
    for Export { name, export, root, why } in listed() {
        assert!(name == export && root, "{name} must be listed as a root under the name of its export");
        assert!(why.len() > 10, "the reason of {name} is missing or too short: {why:?}");
    }
}

/// Envoy silently never calls a callback that the module does not export.
#[test]
fn every_callback_that_the_filter_implements_is_exported() {
    let mut implemented = Vec::new();
    for entry in fs::read_dir(root().join("src")).expect("the sources of the filter can be listed") {
        let source = fs::read_to_string(entry.expect("the sources of the filter can be listed").path())
            .expect("sources are text");
        let names = source.split("fn on_").skip(1).filter_map(|rest| rest.split('(').next());
        // The SDK's names of stream callbacks start with `http_`, the ABI's do not.
        implemented.extend(names.map(|name| match name {
            "http_call_response" => format!("proxy_on_{name}"),
            _ => format!("proxy_on_{}", name.trim_start_matches("http_")),
        }));
    }
    assert!(
        implemented.iter().any(|name| name == "proxy_on_request_headers"),
        "the callbacks of the filter were not found, only: {implemented:?}"
    );
    let listed = listed();
    for name in implemented {
        assert!(listed.iter().any(|export| export.name == name), "{name} is implemented but not exported");
    }
}

#[test]
fn the_module_is_at_most_345_kb() {
    let size = bytes().len();
    assert!(size <= MAX_BYTES, "the module has {size} bytes, at most {MAX_BYTES} are allowed");
}

#[test]
fn the_module_contains_no_path_of_the_build_machine() {
    let module = bytes();
    for prefix in ["/home/", "/root/", "/Users/", "/.cargo/"] {
        let found = module.windows(prefix.len()).position(|bytes| bytes == prefix.as_bytes());
        let shown = found.map(|at| String::from_utf8_lossy(&module[at..module.len().min(at + 120)]).into_owned());
        assert_eq!(shown, None, "the module contains a path of the build machine");
    }
}

#[test]
fn the_module_has_no_custom_sections() {
    let module = Module::new(&Engine::default(), bytes()).expect("the module is valid");
    let sections: Vec<_> = module.custom_sections().map(|section| section.name().to_owned()).collect();
    assert!(sections.is_empty(), "custom sections: {sections:?}");
}
