//! Parameters in path and query, read as Express reads them: case, trailing slash, percent-encoding, repetition.

use axum::extract::{FromRequestParts, Path, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::ApiError;

/// Lets routes match as in Express: the names of endpoints are case-insensitive, and one trailing slash is ignored.
pub fn normalize(mut request: Request) -> Request {
    let path = request.uri().path();
    if is_normal(path) {
        return request;
    }
    let mut segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
    if segments.len() > 1 && segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    let name = if segments.len() == 1 { segments.first_mut() } else { segments.get_mut(1) };
    if let Some(name) = name {
        name.make_ascii_lowercase();
    }
    let normal: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
    if normal != path {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = Uri::try_from(format!("{normal}{query}")) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Almost every path is, and this needs no memory.
fn is_normal(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let first = segments.next();
    let name = segments.next().or(first).unwrap_or_default();
    !path.ends_with('/') && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The parameters in the path, decoded.
pub struct PathParams<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if !is_percent_encoding_valid(parts.uri.path()) {
            return Err(ApiError::InvalidPath);
        }
        let Path(target) = Path::from_request_parts(parts, state).await.map_err(|_| ApiError::InvalidPath)?;
        Ok(Self(target))
    }
}

fn is_percent_encoding_valid(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let mut bytes = rest.bytes();
        let mut hex = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
        hex() && hex()
    })
}

/// The parameters in the query, decoded.
pub struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    /// The values of a repeated parameter are joined with commas, as in the original.
    pub fn get(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        if values.is_empty() { None } else { Some(values.join(",")) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueryParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn normalized(uri: &str) -> String {
        normalize(Request::builder().uri(uri).body(Body::empty()).unwrap()).uri().to_string()
    }

    #[test]
    fn endpoints_match_in_any_case_and_with_a_trailing_slash() {
        for (uri, expected) in [
            ("/PING", "/ping"),
            ("/ping/", "/ping"),
            ("/App/GET/ToKen/?A=B", "/App/get/ToKen?A=B"),
            ("/App/get/ToKen", "/App/get/ToKen"),
            ("/App", "/app"),
            ("/app/GET", "/app/get"),
            ("*", "*"),
            ("/", "/"),
            ("/a//", "/a/"),
            ("//", "/"),
        ] {
            assert_eq!(normalized(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_percent_sign_needs_two_hex_digits() {
        assert!(is_percent_encoding_valid("/a%2Fb%c3%bc"));
        for bad in ["%", "/a%2", "/%zz", "/%2%41", "/a%"] {
            assert!(!is_percent_encoding_valid(bad), "{bad}");
        }
    }
}
