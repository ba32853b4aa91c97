//! `session-filter schema`: the configuration's JSON Schema.

use rest_sessions_core::config::schema;

/// The schema as it is kept in the repository.
#[must_use]
pub fn text() -> String {
    let mut schema = schema::of_configuration();
    // Whatever order the objects of this build have.
    schema.sort_all_objects();
    format!("{schema:#}\n")
}
