//! Locates the filter's configurations in a file: bare, in manifests of Istio and Envoy Gateway, or nested in an Envoy
//! bootstrap.

use rest_sessions_core::config::schema;

use crate::document::{Node, Value};
use crate::json_path::join_key;
use crate::yaml::{self, Dialect};

/// A plugin configuration in a file.
#[derive(Debug)]
pub struct LocatedConfig {
    /// The document and the path in it, such as `WasmPlugin sessions: spec.pluginConfig`. Empty for a bare configuration.
    pub location: String,
    /// The line of the value that contains it, from 1.
    pub line: Option<usize>,
    /// The configuration as the filter receives it.
    pub node: Node,
    /// Whether it is JSON text in a string, so that the lines of its values are unknown.
    pub is_json_text: bool,
}

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// Every configuration of the filter in a file.
///
/// # Errors
///
/// The file is neither JSON nor YAML, or contains no configuration.
pub fn configurations(text: &str) -> Result<Vec<LocatedConfig>, String> {
    let documents = read(text)?;
    let mut all = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let mut prefix = document_name(document);
        if prefix.is_empty() && documents.len() > 1 {
            prefix = format!("document {}", index.saturating_add(1));
        }
        walk(document, String::new(), &mut |path, line, node, is_json_text| {
            let parts = [prefix.as_str(), path.as_str()];
            let location: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            all.push(LocatedConfig { location: location.join(": "), line, node, is_json_text });
        })?;
    }
    if all.is_empty() {
        let mut bare = documents.into_iter().filter(|document| !is_other(document));
        if let (Some(node), None) = (bare.next(), bare.next()) {
            return Ok(vec![LocatedConfig { location: String::new(), line: node.line, node, is_json_text: false }]);
        }
        return Err("contains no configuration of the filter; expected a bare one, a WasmPlugin, TrafficExtension, \
                    EnvoyFilter or EnvoyExtensionPolicy, or an Envoy bootstrap"
            .to_owned());
    }
    // Other plugins may be configured beside the filter. If no configuration has the filter's keys, all are checked.
    if all.iter().any(is_filter_config) {
        all.retain(is_filter_config);
    }
    Ok(all)
}

/// Parses the documents of a file, each in the YAML dialect of its consumer.
fn read(text: &str) -> Result<Vec<Node>, String> {
    match serde_json::from_str(text) {
        Ok(node) => return Ok(vec![node]),
        // Text that starts with `{` and is not YAML either was meant as JSON.
        Err(error) if text.trim_start().starts_with('{') && yaml::documents(text).is_err() => {
            return Err(format!("is not valid JSON: error at line {}, column {}", error.line(), error.column()));
        }
        Err(_) => {}
    }
    let mut documents = yaml::documents(text).map_err(|error| format!("is neither JSON nor YAML: {error}"))?;
    documents.retain(|document| !matches!(&document.value, Value::PlainScalar(word) if word.is_empty()));
    if documents.is_empty() {
        return Err("is empty; expected a configuration".to_owned());
    }
    for document in &mut documents {
        let dialect = if is_read_by_envoy(document) { Dialect::Envoy } else { Dialect::Kubernetes };
        dialect.resolve(document);
    }
    Ok(documents)
}

/// Whether Envoy reads the document: it contains a protobuf type, and is not a Kubernetes object.
fn is_read_by_envoy(document: &Node) -> bool {
    fn names_types(node: &Node) -> bool {
        match &node.value {
            Value::Object(entries) => entries.iter().any(|(key, node)| key == "@type" || names_types(node)),
            Value::Array(items) => items.iter().any(names_types),
            _ => false,
        }
    }
    document.get("apiVersion").is_none() && names_types(document)
}

/// The kind and name of a Kubernetes object, such as `WasmPlugin rest-sessions`. Empty for other documents.
fn document_name(document: &Node) -> String {
    let string = |keys: &[&str]| document.get_path(keys).and_then(Node::as_str);
    match (string(&["apiVersion"]), string(&["kind"]), string(&["metadata", "name"])) {
        (Some(_), Some(kind), Some(name)) => format!("{kind} {name}"),
        (Some(_), Some(kind), None) => kind.to_owned(),
        _ => String::new(),
    }
}

/// Whether a document is certainly not a bare configuration: none of its keys is a key of the filter.
fn is_other(document: &Node) -> bool {
    let Value::Object(entries) = &document.value else { return true };
    let schema = schema::of_configuration();
    let is_known =
        |(key, _): &(String, Node)| schema.pointer("/properties").is_some_and(|keys| keys.get(key).is_some());
    !entries.is_empty() && (document.get("apiVersion").is_some() || !entries.iter().any(is_known))
}

/// Receives a configuration: its path in the document, its line, its value, and whether it is JSON text in a string.
type Visit<'t> = dyn FnMut(String, Option<usize>, Node, bool) + 't;

/// Visits every plugin configuration in a document.
fn walk(node: &Node, at: String, visit: &mut Visit<'_>) -> Result<(), String> {
    match &node.value {
        Value::Object(entries) => {
            let kind = if at.is_empty() { node.get("kind").and_then(Node::as_str) } else { None };
            if let Some(spec) = node.get("spec") {
                match kind {
                    Some("WasmPlugin") => plugin(spec, "spec", visit),
                    Some("TrafficExtension") => {
                        spec.get("wasm").into_iter().for_each(|wasm| plugin(wasm, "spec.wasm", visit));
                    }
                    Some("EnvoyExtensionPolicy") => extensions(spec, visit),
                    _ => {}
                }
            }
            let named = |key: &str| node.get(key).and_then(Node::as_str).is_some_and(|name| name.ends_with(WASM));
            if named("@type") {
                typed(node, &join_key(&at, "config"), &["config"], visit)?;
            } else if named("type_url") {
                let inner = join_key(&join_key(&at, "value"), "config");
                typed(node, &inner, &["value", "config"], visit)?;
            }
            entries.iter().try_for_each(|(key, node)| walk(node, join_key(&at, key), visit))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| walk(item, format!("{at}[{index}]"), visit))
        }
        _ => Ok(()),
    }
}

/// Istio: `pluginConfig`.
fn plugin(wasm: &Node, at: &str, visit: &mut Visit<'_>) {
    if let Some(config) = wasm.get("pluginConfig") {
        visit(format!("{at}.pluginConfig"), config.line, config.clone(), false);
    }
}

/// Envoy Gateway: `wasm[].config`.
fn extensions(spec: &Node, visit: &mut Visit<'_>) {
    if let Some(Node { value: Value::Array(items), .. }) = spec.get("wasm") {
        for (index, item) in items.iter().enumerate() {
            if let Some(config) = item.get("config") {
                visit(format!("spec.wasm[{index}].config"), config.line, config.clone(), false);
            }
        }
    }
}

/// Envoy's Wasm filter: `configuration`, a `google.protobuf.Any`.
fn typed(node: &Node, at: &str, keys: &[&str], visit: &mut Visit<'_>) -> Result<(), String> {
    let Some(configuration) = node.get_path(keys).and_then(|config| config.get("configuration")) else {
        return Ok(());
    };
    let kind = configuration.get("@type").and_then(Node::as_str).unwrap_or_default();
    let at = format!("{at}.configuration.value");
    let Some(value) = configuration.get("value") else { return Ok(()) };
    match (kind.rsplit(['/', '.']).next(), value.as_str()) {
        (Some("Struct"), None) => {
            visit(at, value.line, value.clone(), false);
            Ok(())
        }
        (Some("StringValue"), Some(text)) => {
            let node = serde_json::from_str(text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                format!("contains invalid JSON at {at}: error at line {line}, column {column}")
            })?;
            visit(at, value.line, node, true);
            Ok(())
        }
        _ => Err(format!(
            "contains a value at {at} that does not match its @type; expected a google.protobuf.Struct with an object, \
             or a google.protobuf.StringValue with JSON text"
        )),
    }
}

/// Whether a plugin configuration has a required key of the filter.
fn is_filter_config(found: &LocatedConfig) -> bool {
    ["app", "rest_sessions"].iter().any(|key| found.node.get(key).is_some())
}
