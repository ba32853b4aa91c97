//! The headers that the filter reads on nearly every request.

use crate::http::name::NameFilter;

/// A header that [`super::Headers`] finds without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `:method` (RFC 9113, section 8.3.1).
    Method,
    /// `:path`: path and query (RFC 9113, section 8.3.1).
    Path,
    /// `:authority`: host and port (RFC 9113, section 8.3.1). Envoy sets it from `host` for HTTP/1.1.
    Authority,
    /// `:scheme` (RFC 9113, section 8.3.1).
    Scheme,
    /// `:protocol`: the protocol of an extended CONNECT (RFC 8441, section 4).
    Protocol,
    /// `upgrade`: the protocols that an HTTP/1.1 request offers to switch to (RFC 9110, section 7.8).
    Upgrade,
    /// `origin`: the web origin that caused the request (RFC 6454, section 7).
    Origin,
    /// `cookie` (RFC 6265, section 5.4). HTTP/2 may split it into several lines (RFC 9113, section 8.2.3).
    Cookie,
}

impl Known {
    pub(super) const COUNT: usize = 8;

    const FILTER: NameFilter = NameFilter::of(b":path")
        .union(NameFilter::of(b"origin"))
        .union(NameFilter::of(b"cookie"))
        .union(NameFilter::of(b":method"))
        .union(NameFilter::of(b":scheme"))
        .union(NameFilter::of(b"upgrade"))
        .union(NameFilter::of(b":protocol"))
        .union(NameFilter::of(b":authority"));

    #[inline(always)]
    pub(super) fn of(name: &[u8], own: NameFilter) -> Option<Self> {
        if !own.intersects(Self::FILTER) {
            return None;
        }
        Some(match name {
            b":path" => Self::Path,
            b"origin" => Self::Origin,
            b"cookie" => Self::Cookie,
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b"upgrade" => Self::Upgrade,
            b":protocol" => Self::Protocol,
            b":authority" => Self::Authority,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Path => b":path",
            Self::Origin => b"origin",
            Self::Cookie => b"cookie",
            Self::Method => b":method",
            Self::Scheme => b":scheme",
            Self::Upgrade => b"upgrade",
            Self::Protocol => b":protocol",
            Self::Authority => b":authority",
        }
    }
}
