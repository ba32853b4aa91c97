//! Where a problem stands in its file: from its JSON path back to the value.

use crate::document::{Node, Value};

/// The value at a path as the filter writes it (`rules[2].session`), or the last one on the way that is there.
#[must_use]
pub fn nearest<'a>(root: &'a Node, path: &str) -> &'a Node {
    step(root, String::new(), path).unwrap_or(root)
}

fn step<'a>(node: &'a Node, here: String, path: &str) -> Option<&'a Node> {
    if here == path {
        return Some(node);
    }
    let leads_on = path.strip_prefix(&here)?.starts_with(['.', '[']) || here.is_empty();
    if !leads_on {
        return None;
    }
    let deeper = match &node.value {
        // Of repeated keys the last, which is the one too many.
        Value::Object(entries) => entries.iter().rev().find_map(|(key, child)| step(child, key_path(&here, key), path)),
        Value::List(items) => {
            items.iter().enumerate().find_map(|(index, child)| step(child, format!("{here}[{index}]"), path))
        }
        _ => None,
    };
    deeper.or(Some(node))
}

/// A path one key further, as the filter writes it.
#[must_use]
pub fn key_path(parent: &str, key: &str) -> String {
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return format!("{parent}[{key:?}]");
    }
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_value_or_as_near_as_there_is_one() {
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
