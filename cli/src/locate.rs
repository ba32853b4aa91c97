//! Finds the filter's configuration in a file: alone, in the manifests of Istio and Envoy Gateway, or in a bootstrap
//! of Envoy's, wherever it is nested.

use rest_sessions_core::config::schema;

use crate::document::{Node, Value};
use crate::json_path::key_path;
use crate::yaml::{self, Reader};

/// A configuration of a Wasm plugin.
#[derive(Debug)]
pub struct Found {
    /// Where it stands, in words and as a path; empty if it is the whole file.
    pub at: String,
    /// The line of what holds it.
    pub line: Option<usize>,
    /// As it will be handed to the filter.
    pub node: Node,
    /// It is JSON text in a string, so the lines of its values are not known.
    pub is_text: bool,
}

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// Every configuration of the filter in a file.
///
/// # Errors
///
/// Why there is none: the file is neither JSON nor YAML, or holds something else.
pub fn configurations(text: &str) -> Result<Vec<Found>, String> {
    let documents = read(text)?;
    let mut all = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let mut prefix = document_name(document);
        if prefix.is_empty() && documents.len() > 1 {
            prefix = format!("document {}", index.saturating_add(1));
        }
        walk(document, String::new(), &mut |at, line, node, is_text| {
            let at = [prefix.as_str(), at.as_str()].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
            all.push(Found { at: at.join(": "), line, node, is_text });
        })?;
    }
    if all.is_empty() {
        let mut bare = documents.into_iter().filter(|document| !is_other(document));
        if let (Some(node), None) = (bare.next(), bare.next()) {
            return Ok(vec![Found { at: String::new(), line: node.line, node, is_text: false }]);
        }
        return Err("holds no configuration of the filter; expected one by itself, a WasmPlugin, TrafficExtension, \
                    EnvoyFilter or EnvoyExtensionPolicy, or a bootstrap of Envoy's"
            .to_owned());
    }
    // Other plugins may stand beside it. Where none says that it is the filter's, whoever asks means one of them.
    if all.iter().any(is_ours) {
        all.retain(is_ours);
    }
    Ok(all)
}

/// The documents of a file, read as the one reads them who will.
fn read(text: &str) -> Result<Vec<Node>, String> {
    match serde_json::from_str(text) {
        Ok(node) => return Ok(vec![node]),
        // What starts like this and is no YAML either was meant to be JSON.
        Err(wrong) if text.trim_start().starts_with('{') && yaml::documents(text).is_err() => {
            return Err(format!("is no JSON: it breaks off at line {}, column {}", wrong.line(), wrong.column()));
        }
        Err(_) => {}
    }
    let mut documents = yaml::documents(text).map_err(|wrong| format!("is neither JSON nor YAML: {wrong}"))?;
    documents.retain(|document| !matches!(&document.value, Value::Plain(word) if word.is_empty()));
    if documents.is_empty() {
        return Err("is empty; expected a configuration".to_owned());
    }
    for document in &mut documents {
        let reader = if is_envoys(document) { Reader::Envoy } else { Reader::Kubernetes };
        reader.read(document);
    }
    Ok(documents)
}

/// Whether Envoy itself reads the document.
fn is_envoys(document: &Node) -> bool {
    fn names_types(node: &Node) -> bool {
        match &node.value {
            Value::Object(entries) => entries.iter().any(|(key, node)| key == "@type" || names_types(node)),
            Value::List(items) => items.iter().any(names_types),
            _ => false,
        }
    }
    document.get("apiVersion").is_none() && names_types(document)
}

/// `WasmPlugin rest-sessions`, for an object of Kubernetes.
fn document_name(document: &Node) -> String {
    let word = |keys: &[&str]| document.at(keys).and_then(Node::text);
    match (word(&["apiVersion"]), word(&["kind"]), word(&["metadata", "name"])) {
        (Some(_), Some(kind), Some(name)) => format!("{kind} {name}"),
        (Some(_), Some(kind), None) => kind.to_owned(),
        _ => String::new(),
    }
}

/// Whether a document is surely no configuration of the filter by itself: none of its keys is one of the filter's.
fn is_other(document: &Node) -> bool {
    let Value::Object(entries) = &document.value else { return true };
    let schema = schema::of_configuration();
    let is_known =
        |(key, _): &(String, Node)| schema.pointer("/properties").is_some_and(|keys| keys.get(key).is_some());
    !entries.is_empty() && (document.get("apiVersion").is_some() || !entries.iter().any(is_known))
}

type Take<'t> = dyn FnMut(String, Option<usize>, Node, bool) + 't;

/// Finds what may be configurations of plugins, wherever they are.
fn walk(node: &Node, at: String, take: &mut Take<'_>) -> Result<(), String> {
    match &node.value {
        Value::Object(entries) => {
            let kind = if at.is_empty() { node.get("kind").and_then(Node::text) } else { None };
            if let Some(spec) = node.get("spec") {
                match kind {
                    Some("WasmPlugin") => plugin(spec, "spec", take),
                    Some("TrafficExtension") => {
                        spec.get("wasm").into_iter().for_each(|wasm| plugin(wasm, "spec.wasm", take));
                    }
                    Some("EnvoyExtensionPolicy") => extensions(spec, take),
                    _ => {}
                }
            }
            let named = |key: &str| node.get(key).and_then(Node::text).is_some_and(|name| name.ends_with(WASM));
            if named("@type") {
                typed(node, &key_path(&at, "config"), &["config"], take)?;
            } else if named("type_url") {
                let inner = key_path(&key_path(&at, "value"), "config");
                typed(node, &inner, &["value", "config"], take)?;
            }
            entries.iter().try_for_each(|(key, node)| walk(node, key_path(&at, key), take))
        }
        Value::List(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| walk(item, format!("{at}[{index}]"), take))
        }
        _ => Ok(()),
    }
}

/// `pluginConfig` of Istio.
fn plugin(wasm: &Node, at: &str, take: &mut Take<'_>) {
    if let Some(config) = wasm.get("pluginConfig") {
        take(format!("{at}.pluginConfig"), config.line, config.clone(), false);
    }
}

/// `wasm[].config` of Envoy Gateway.
fn extensions(spec: &Node, take: &mut Take<'_>) {
    if let Some(Node { value: Value::List(items), .. }) = spec.get("wasm") {
        for (index, item) in items.iter().enumerate() {
            if let Some(config) = item.get("config") {
                take(format!("spec.wasm[{index}].config"), config.line, config.clone(), false);
            }
        }
    }
}

/// The `configuration` of Envoy's filter: a message whose type it names.
fn typed(node: &Node, at: &str, keys: &[&str], take: &mut Take<'_>) -> Result<(), String> {
    let Some(configuration) = node.at(keys).and_then(|config| config.get("configuration")) else {
        return Ok(());
    };
    let kind = configuration.get("@type").and_then(Node::text).unwrap_or_default();
    let at = format!("{at}.configuration.value");
    let Some(value) = configuration.get("value") else { return Ok(()) };
    match (kind.rsplit(['/', '.']).next(), value.text()) {
        (Some("Struct"), None) => {
            take(at, value.line, value.clone(), false);
            Ok(())
        }
        (Some("StringValue"), Some(text)) => {
            let node = serde_json::from_str(text).map_err(|wrong| {
                let (line, column) = (wrong.line(), wrong.column());
                format!("holds, at {at}, something that is not JSON: it breaks off at line {line}, column {column}")
            })?;
            take(at, value.line, node, true);
            Ok(())
        }
        _ => Err(format!(
            "holds, at {at}, a value that is not what its @type says; expected a google.protobuf.Struct with an object, \
             or a google.protobuf.StringValue with JSON text"
        )),
    }
}

/// Whether a plugin's configuration has a key that every configuration of the filter needs.
fn is_ours(found: &Found) -> bool {
    ["app", "rest_sessions"].iter().any(|key| found.node.get(key).is_some())
}
