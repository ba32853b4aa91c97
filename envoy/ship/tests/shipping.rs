//! What shipping does to a module, tried on small ones that run afterwards.

use std::process::Command;

use wasmi::{Engine, Extern, Instance, Linker, Module, Store};

/// `kept` calls, through the table, what `take` and `give` do not, and each has a helper of its own.
const SMALL: &str = r#"(module
    (type $unary (func (param i32) (result i32)))
    (type $binary (func (param i32 i32) (result i32)))
    (import "env" "asked" (func $asked))
    (import "env" "unasked" (func $unasked))
    (memory (export "memory") 1)
    (table 3 3 funcref)
    (elem (i32.const 0) $double $sum $triple)
    (func $double (type $unary) local.get 0 i32.const 2 i32.mul)
    (func $triple (type $unary) call $asked local.get 0 i32.const 3 i32.mul)
    (func $sum (type $binary) call $unasked local.get 0 local.get 1 i32.add)
    (func (export "kept") (param i32 i32) (result i32) local.get 0 local.get 1 call_indirect (type $unary))
    (func (export "dropped") (result i32) i32.const 1 i32.const 2 i32.const 1 call_indirect (type $binary))
    (@custom "note" "for nobody"))"#;

fn shipped(text: &str, exports: &[&str]) -> Vec<u8> {
    ship::ship(&compiled(text), exports).expect("the module can be shipped")
}

fn compiled(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a module")
}

fn instance(module: &[u8]) -> (Store<()>, Instance) {
    let engine = Engine::default();
    let module = Module::new(&engine, module).expect("the shipped module is valid");
    let mut linker = Linker::new(&engine);
    for name in ["asked", "unasked"] {
        linker.func_wrap("env", name, || ()).expect("each import is given once");
    }
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate_and_start(&mut store, &module).expect("the shipped module starts");
    (store, instance)
}

fn imports(module: &[u8]) -> Vec<String> {
    let module = Module::new(&Engine::default(), module).expect("the shipped module is valid");
    module.imports().map(|import| import.name().to_owned()).collect()
}

#[test]
fn exports_that_are_not_named_go() {
    let (store, instance) = instance(&shipped(SMALL, &["memory", "kept"]));
    let mut left: Vec<_> = instance.exports(&store).map(|export| export.name().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["kept", "memory"]);
}

#[test]
fn what_stays_does_what_it_did() {
    let (mut store, instance) = instance(&shipped(SMALL, &["memory", "kept"]));
    let kept = instance.get_typed_func::<(i32, i32), i32>(&store, "kept").expect("the export has its type still");
    assert_eq!(kept.call(&mut store, (7, 0)).expect("the first entry can be called"), 14);
    assert_eq!(kept.call(&mut store, (7, 2)).expect("the third entry can be called"), 21);
    kept.call(&mut store, (7, 1)).expect_err("the second entry is of another type, and calling it traps as before");
    assert!(matches!(instance.get_export(&store, "memory"), Some(Extern::Memory(_))));
}

#[test]
fn code_that_only_dropped_exports_reach_goes_also_where_it_stands_in_the_table() {
    assert_eq!(imports(&shipped(SMALL, &["memory", "kept"])), ["asked"]);
    assert_eq!(imports(&shipped(SMALL, &["memory", "dropped"])), ["unasked"]);
    assert_eq!(imports(&shipped(SMALL, &["kept", "dropped"])), ["asked", "unasked"]);
}

#[test]
fn a_table_that_others_can_see_keeps_its_entries() {
    let seen = SMALL.replace("(table 3", "(table (export \"table\") 3");
    assert_eq!(imports(&shipped(&seen, &["memory", "kept", "table"])), ["asked", "unasked"]);
}

#[test]
fn custom_sections_go() {
    let holds_note = |module: &[u8]| module.windows(10).any(|bytes| bytes == b"for nobody");
    assert!(holds_note(&compiled(SMALL)));
    assert!(!holds_note(&shipped(SMALL, &["memory", "kept"])));
}

#[test]
fn the_same_module_gives_the_same_bytes() {
    let once = shipped(SMALL, &["memory", "kept"]);
    assert_eq!(once, shipped(SMALL, &["memory", "kept"]));
    assert_eq!(once, ship::ship(&once, &["memory", "kept"]).expect("a shipped module can be shipped again"));
}

#[test]
fn a_missing_export_is_named_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for the module");
    let (input, output) = (folder.path().join("small.wasm"), folder.path().join("out.wasm"));
    std::fs::write(&input, compiled(SMALL)).expect("the module can be written");
    let done = Command::new(env!("CARGO_BIN_EXE_ship")).arg(&input).arg(&output).output().expect("ship runs");
    let line = String::from_utf8(done.stderr).expect("the message is text");
    assert!(!done.status.success());
    assert!(
        line.starts_with(&format!("ship: {}: the module lacks proxy_abi_version_0_2_1, ", input.display())),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(!output.exists());
}

#[test]
fn what_is_no_module_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let input = folder.path().join("notes.txt");
    for (contents, message) in [("not wasm\n", "not a WebAssembly module: "), ("", "not a WebAssembly module: ")] {
        std::fs::write(&input, contents).expect("the file can be written");
        let output = folder.path().join("out.wasm");
        let done = Command::new(env!("CARGO_BIN_EXE_ship")).arg(&input).arg(&output).output().expect("ship runs");
        let line = String::from_utf8(done.stderr).expect("the message is text");
        assert!(!done.status.success());
        assert!(line.starts_with(&format!("ship: {}: {message}", input.display())), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
