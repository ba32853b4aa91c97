//! JSON paths as the filter writes them (`rules[2].session`).

use crate::document::{Node, Value};

/// The value at a path, or its nearest existing ancestor.
#[must_use]
pub fn nearest<'a>(root: &'a Node, path: &str) -> &'a Node {
    step(root, String::new(), path).unwrap_or(root)
}

fn step<'a>(node: &'a Node, here: String, path: &str) -> Option<&'a Node> {
    if here == path {
        return Some(node);
    }
    let is_ancestor = path.strip_prefix(&here)?.starts_with(['.', '[']) || here.is_empty();
    if !is_ancestor {
        return None;
    }
    let descendant = match &node.value {
        // Of repeated keys the last, which is the one reported as repeated.
        Value::Object(entries) => entries.iter().rev().find_map(|(key, child)| step(child, join_key(&here, key), path)),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, child)| step(child, format!("{here}[{index}]"), path))
        }
        _ => None,
    };
    descendant.or(Some(node))
}

/// Appends a key to a path.
#[must_use]
pub fn join_key(parent: &str, key: &str) -> String {
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return format!("{parent}[{key:?}]");
    }
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_value_or_the_nearest_ancestor() {
        let text = "app: a\nrules:\n- name: x\n- name: y\n  match:\n    \"x-y\": 1\nrule: 2\n";
        let root = crate::yaml::documents(text).unwrap().remove(0);
        for (path, line) in [
            ("", 1),
            ("app", 1),
            ("rules[0].name", 3),
            ("rules[1].match[\"x-y\"]", 6),
            ("rules[1].session", 4),
            ("rule", 7),
            ("cache.ttl", 1),
        ] {
            assert_eq!(nearest(&root, path).line, Some(line), "{path}");
        }
    }
}
