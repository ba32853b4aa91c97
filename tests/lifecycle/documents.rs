//! README.md and the pages of docs/, as tests read them.

use std::fs;
use std::path::Path;

/// The texts of README.md and of every Markdown file of docs/.
pub fn pages(root: &Path) -> Vec<String> {
    let mut paths = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The configurations that a page shows, each with the text that follows it up to the next block.
pub fn configurations(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```json\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("\n```\n").expect("a block ends"));
    blocks.map(|(text, rest)| (text, rest.split("\n```").next().unwrap_or_default())).collect()
}
