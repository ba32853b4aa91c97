//! The module in `dist`, as it ships. `make test` builds it first.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wasmi::{Engine, Module};

/// V8 compiles the module for every worker at start, so its size is felt: 300 KB, and 3 % that figures may be off.
const MOST_BYTES: usize = 309_000;

/// An entry of `envoy/module/exports.json`, whose form is that of binaryen's `wasm-metadce`.
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
    let text = fs::read(root().join("envoy/module/exports.json")).expect("the list of exports is there");
    serde_json::from_slice(&text).expect("the list of exports is JSON")
}

#[test]
fn it_exports_what_is_listed_and_nothing_else() {
    let module = Module::new(&Engine::default(), bytes()).expect("the module is valid");
    let mut found: Vec<_> = module.exports().map(|export| export.name().to_owned()).collect();
    let mut listed: Vec<_> = listed().into_iter().map(|export| export.export).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn every_export_says_why_it_stays() {
    for Export { name, export, root, why } in listed() {
        assert!(name == export && root, "{name} is listed in another way than the others");
        assert!(why.len() > 10, "{name} stays for no reason");
    }
}

/// A callback that the filter implements and the module does not export would never be called, without a word.
#[test]
fn no_callback_that_the_filter_implements_is_left_out() {
    let mut implemented = Vec::new();
    for entry in fs::read_dir(root().join("src/shell")).expect("the shell is there") {
        let source = fs::read_to_string(entry.expect("the shell can be listed").path()).expect("sources are text");
        let names = source.split("fn on_").skip(1).filter_map(|rest| rest.split('(').next());
        // The SDK's names of callbacks of a request are longer than the host's.
        implemented.extend(names.map(|name| match name {
            "http_call_response" => format!("proxy_on_{name}"),
            _ => format!("proxy_on_{}", name.trim_start_matches("http_")),
        }));
    }
    assert!(implemented.iter().any(|name| name == "proxy_on_request_headers"), "no callbacks found: {implemented:?}");
    let listed = listed();
    for name in implemented {
        assert!(listed.iter().any(|export| export.name == name), "{name} is implemented and not exported");
    }
}

#[test]
fn it_is_small() {
    let size = bytes().len();
    assert!(size <= MOST_BYTES, "{size} bytes, {} more than there may be", size - MOST_BYTES);
}

#[test]
fn it_does_not_say_where_it_was_built() {
    let module = bytes();
    for trace in ["/home/", "/root/", "/Users/", "/.cargo/"] {
        let found = module.windows(trace.len()).position(|bytes| bytes == trace.as_bytes());
        let shown = found.map(|at| String::from_utf8_lossy(&module[at..module.len().min(at + 120)]).into_owned());
        assert_eq!(shown, None, "a path of the machine that built the module is in it");
    }
}

#[test]
fn it_has_no_section_that_no_host_reads() {
    let module = Module::new(&Engine::default(), bytes()).expect("the module is valid");
    let left: Vec<_> = module.custom_sections().map(|section| section.name().to_owned()).collect();
    assert!(left.is_empty(), "{left:?}");
}
