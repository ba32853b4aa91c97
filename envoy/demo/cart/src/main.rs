use axum::http::HeaderMap;
use axum::routing::{get, post, put};
use axum::{Router, extract::Path};
use serde_json::{Value, json};

async fn show(headers: HeaderMap) -> String {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let user = percent_encoding::percent_decode_str(header("x-session-user")).decode_utf8_lossy();
    let data: Value = serde_json::from_str(header("x-session-data")).unwrap_or_default();
    json!({"user": user, "cart": data["cart"]}).to_string()
}

async fn fill(Path(item): Path<String>) -> [(&'static str, Vec<u8>); 1] {
    [("x-session-set", json!({"cart": item}).to_string().into_bytes())]
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let cart = get(show).delete(|| async { [("x-session-set", r#"{"cart":null}"#)] });
    let end = post(|| async { [("x-session-kill", "1")] });
    let app = Router::new().route("/cart", cart).route("/cart/{item}", put(fill)).route("/end", end);
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".into());
    axum::serve(tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?, app).await
}
