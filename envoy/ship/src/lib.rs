//! Makes the module that ships of the one that the compiler leaves: the exports that a host needs, the code that they
//! reach, and nothing else.

mod exports;
mod table;

pub use exports::{EXPORTS, Export};
use walrus::{FunctionId, Module, ModuleConfig};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a WebAssembly module: {0}")]
    NotAModule(String),
    #[error(
        "the module lacks {0}, which the host needs (envoy/ship/src/exports.rs says what for); is it the filter, built \
         as a cdylib?"
    )]
    Missing(String),
}

/// The module with the exports named, the code and data that they reach, and no custom section.
///
/// The same module always gives the same bytes.
pub fn ship(module: &[u8], exports: &[&str]) -> Result<Vec<u8>, Error> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false);
    let mut module =
        config.parse(module).map_err(|error| Error::NotAModule(format!("{error:#}").replace('\n', " ")))?;

    let missing: Vec<_> =
        exports.iter().filter(|name| !module.exports.iter().any(|export| export.name == **name)).copied().collect();
    if !missing.is_empty() {
        return Err(Error::Missing(missing.join(", ")));
    }

    let dropped: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !exports.contains(&export.name.as_str()))
        .map(|export| export.id())
        .collect();
    dropped.into_iter().for_each(|export| module.exports.delete(export));
    let custom: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    custom.into_iter().for_each(|section| drop(module.customs.delete(section)));

    table::drop_uncallable(&mut module);
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

/// The functions that a host can call.
fn entry_points(module: &Module) -> Vec<FunctionId> {
    let exported = module.exports.iter().filter_map(|export| match export.item {
        walrus::ExportItem::Function(function) => Some(function),
        _ => None,
    });
    exported.chain(module.start).collect()
}
