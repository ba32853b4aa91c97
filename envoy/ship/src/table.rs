//! Entries of the function table that nothing can call.
//!
//! Whatever stands in the table counts as reached, and methods of traits stand there whether they are called or not.
//! But an indirect call names the type of what it calls and traps on any other. So an entry whose type no reachable
//! function calls cannot run, and gives way to a function that does nothing but trap.

use std::collections::HashSet;

use walrus::ir::{self, Visitor, dfs_in_order};
use walrus::{
    ElementItems, ElementKind, ExportItem, FunctionBuilder, FunctionId, FunctionKind, Module, TableId, ValType,
};

type Signature = (Vec<ValType>, Vec<ValType>);

/// Replaces entries that nothing can call. A module whose table can be reached in other ways than by indirect calls is
/// left as it is.
pub fn drop_uncallable(module: &mut Module) {
    let Some(callable) = callable(module) else { return };
    let mut builder = FunctionBuilder::new(&mut module.types, &[], &[]);
    builder.func_body().unreachable();
    let trap = builder.finish(Vec::new(), &mut module.funcs);
    for element in module.elements.iter_mut() {
        if let ElementItems::Functions(functions) = &mut element.items {
            for function in functions.iter_mut().filter(|function| !callable.contains(function)) {
                *function = trap;
            }
        }
    }
}

/// Every function that can run, or `None` where that cannot be told.
fn callable(module: &Module) -> Option<HashSet<FunctionId>> {
    let in_table = table_entries(module)?;
    let mut seen = HashSet::new();
    let mut called = Called::default();
    let mut todo = super::entry_points(module);
    loop {
        while let Some(function) = todo.pop() {
            if !seen.insert(function) {
                continue;
            }
            if let FunctionKind::Local(local) = &module.funcs.get(function).kind {
                dfs_in_order(&mut called, local, local.entry_block());
            }
            todo.append(&mut called.functions);
        }
        if called.opaque {
            return None;
        }
        let signatures: HashSet<_> = called.types.iter().map(|called| signature(module, *called)).collect();
        todo.extend(in_table.iter().filter(|function| {
            !seen.contains(*function) && signatures.contains(&signature(module, module.funcs.get(**function).ty()))
        }));
        if todo.is_empty() {
            return Some(seen);
        }
    }
}

/// What stands in the module's one table, where only the module itself can see it.
fn table_entries(module: &Module) -> Option<Vec<FunctionId>> {
    let mut tables = module.tables.iter();
    let table = tables.next()?;
    if tables.next().is_some() || table.import.is_some() || is_exported(module, table.id()) {
        return None;
    }
    let mut entries = Vec::new();
    for element in module.elements.iter() {
        match (&element.kind, &element.items) {
            (ElementKind::Active { .. } | ElementKind::Declared, ElementItems::Functions(functions)) => {
                entries.extend(functions);
            }
            _ => return None,
        }
    }
    Some(entries)
}

fn is_exported(module: &Module, table: TableId) -> bool {
    module.exports.iter().any(|export| matches!(export.item, ExportItem::Table(exported) if exported == table))
}

fn signature(module: &Module, id: walrus::TypeId) -> Signature {
    let (parameters, results) = module.types.params_results(id);
    (parameters.to_vec(), results.to_vec())
}

/// What the instructions seen so far call.
#[derive(Default)]
struct Called {
    functions: Vec<FunctionId>,
    types: HashSet<walrus::TypeId>,
    /// A function was taken from the table as a value, or called as one.
    opaque: bool,
}

impl<'instructions> Visitor<'instructions> for Called {
    fn visit_function_id(&mut self, function: &FunctionId) {
        self.functions.push(*function);
    }

    fn visit_call_indirect(&mut self, call: &ir::CallIndirect) {
        self.types.insert(call.ty);
    }

    fn visit_return_call_indirect(&mut self, call: &ir::ReturnCallIndirect) {
        self.types.insert(call.ty);
    }

    fn visit_table_get(&mut self, _: &ir::TableGet) {
        self.opaque = true;
    }

    fn visit_call_ref(&mut self, _: &ir::CallRef) {
        self.opaque = true;
    }

    fn visit_return_call_ref(&mut self, _: &ir::ReturnCallRef) {
        self.opaque = true;
    }
}
