//! The inputs that a fuzzer found, in `tests/fuzz/corpus`: each target holds for each of its own.

use std::fs;
use std::path::Path;

use fuzz_targets::TARGETS;

#[test]
fn what_each_target_checks_holds_for_every_input_of_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, check) in TARGETS {
        let files = fs::read_dir(corpora.join(name)).unwrap_or_else(|error| panic!("the corpus of {name}: {error}"));
        let mut inputs = 0;
        for file in files {
            let path = file.expect("the folder is readable").path();
            // Shown with a failure: which input it was.
            println!("{}", path.display());
            check(&fs::read(path).expect("the file is readable"));
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {name} is empty");
    }
}
