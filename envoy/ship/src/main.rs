//! `ship INPUT OUTPUT`: writes the module that ships.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ship::EXPORTS;

/// Keep what Envoy needs of a compiled filter, and leave the rest out.
#[derive(Parser)]
struct Arguments {
    /// The module that the compiler left
    input: PathBuf,
    /// Where to write the module that ships
    output: PathBuf,
}

fn run(Arguments { input, output }: &Arguments) -> Result<(), String> {
    let compiled = fs::read(input).map_err(|error| format!("cannot read {}: {error}", input.display()))?;
    let exports = EXPORTS.map(|export| export.name);
    let shipped = ship::ship(&compiled, &exports).map_err(|error| format!("{}: {error}", input.display()))?;
    fs::write(output, &shipped).map_err(|error| format!("cannot write {}: {error}", output.display()))?;
    println!("{} bytes ship, of {} that were compiled", shipped.len(), compiled.len());
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ship: {message}");
            ExitCode::FAILURE
        }
    }
}
