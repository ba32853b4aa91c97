//! The pages. What they have around them is in `frame`; each reads who is logged in, and none asks whether one may.

mod frame;
mod member;
mod public;

pub use self::member::{account, admin, checkout};
pub use self::public::{home, nothing_here, product};
