//! `session-filter schema`: the configuration's JSON Schema.

use rest_sessions_core::config::schema;

/// The text of `cli/schema.json`.
#[must_use]
pub fn text() -> String {
    let mut schema = schema::of_configuration();
    // The order of keys depends on serde_json's features in this build.
    schema.sort_all_objects();
    format!("{schema:#}\n")
}
