//! The JSON API, called by the script of the account page.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::user::User;

#[derive(Serialize)]
struct Me<'a> {
    user: &'a str,
    name: &'a str,
    role: Option<&'a str>,
    auth_time: Option<i64>,
}

pub async fn me(user: User) -> Response {
    let me = Me { user: &user.id, name: user.name(), role: user.role(), auth_time: user.auth_time() };
    let mut response = Json(me).into_response();
    demo_web::no_store(&mut response);
    response
}
