//! The upstream: answers every request with the same short response.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

use crate::serve;

pub async fn serve(listen: SocketAddr) -> Result<(), String> {
    let listener = serve::listen(listen).await?;
    serve::answer(listener, async |_| Response::new(Full::new(Bytes::from_static(b"ok\n")))).await
}
