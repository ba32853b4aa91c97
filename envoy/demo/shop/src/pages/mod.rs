//! The pages. They read who is logged in; the filter's rules decide who may see them.

mod frame;
mod member;
mod public;

pub use self::member::{account, admin, checkout};
pub use self::public::{home, nothing_here, product};
