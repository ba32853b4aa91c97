//! What is in Redis: whether each session is in all of its keys or in none.

use std::collections::BTreeSet;

use test_support::redis::RedisServer;

/// The hash tag (empty in the single layout), the app, the token and the id of a session.
type Entry = (String, String, String, String);

/// Differences between the keys that name sessions, over all masters; empty if every session is whole or absent. Keys
/// start with `rs:`, in a cluster followed by a hash tag in braces.
pub fn half_sessions(masters: &[&RedisServer]) -> Vec<String> {
    let mut hashes = BTreeSet::new();
    let mut indexes: [(&str, BTreeSet<Entry>); 3] = ["_sessions", "us", "SESSIONS"].map(|name| (name, BTreeSet::new()));
    let mut users = BTreeSet::new();
    for master in masters {
        for key in master.query::<Vec<String>>(&["KEYS", "rs:*"]) {
            let rest = key.strip_prefix("rs:").unwrap();
            let (tag, rest) = match rest.strip_prefix('{') {
                Some(tagged) => tagged.split_once("}:").unwrap_or_else(|| panic!("{key} has no whole hash tag")),
                None => ("", rest),
            };
            let entry =
                |app: &str, token: &str, id: &str| (tag.to_owned(), app.to_owned(), token.to_owned(), id.to_owned());
            let members = || master.query::<Vec<String>>(&["ZRANGE", &key, "0", "-1"]);
            let Some((app, name)) = rest.split_once(':') else {
                if rest != "SESSIONS" {
                    continue;
                }
                indexes[2].1.extend(members().iter().map(|member| {
                    let parts: Vec<_> = member.splitn(3, ':').collect();
                    entry(parts[0], parts[1], parts[2])
                }));
                continue;
            };
            if name == "_sessions" {
                let split = |member: &String| member.split_once(':').map(|(token, id)| entry(app, token, id));
                indexes[0].1.extend(members().iter().filter_map(split));
            } else if name == "_users" {
                users.extend(members().into_iter().map(|id| (tag.to_owned(), app.to_owned(), id)));
            } else if let Some(id) = name.strip_prefix("us:") {
                let tokens: Vec<String> = master.query(&["SMEMBERS", &key]);
                indexes[1].1.extend(tokens.iter().map(|token| entry(app, token, id)));
            } else {
                let id: Option<String> = master.query(&["HGET", &key, "id"]);
                hashes.insert(entry(app, name, &id.unwrap_or_else(|| "(no id)".to_owned())));
            }
        }
    }
    let mut differences = Vec::new();
    for (name, index) in indexes {
        differences.extend(hashes.difference(&index).map(|session| format!("not in {name}: {session:?}")));
        differences.extend(index.difference(&hashes).map(|session| format!("only in {name}: {session:?}")));
    }
    let of_hashes: BTreeSet<_> = hashes.into_iter().map(|(tag, app, _, id)| (tag, app, id)).collect();
    differences
        .extend(of_hashes.symmetric_difference(&users).map(|user| format!("in _users or hashes only: {user:?}")));
    differences
}
