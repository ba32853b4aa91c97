//! Policy: rules, requirements, limits, token sources, annotation, origins, login, logout and session changes.

pub mod annotation;
pub mod decision;
pub mod limits;
pub mod login;
pub mod logout;
pub mod matching;
pub mod origins;
pub mod path_index;
pub mod requirements;
pub mod rules;
pub mod selection;
pub mod session_change;
pub mod token_source;
pub mod write_back;
