//! Every file of every corpus, on the toolchain of the product: what once failed never fails again.

use std::fs;
use std::path::Path;

#[test]
fn every_corpus_is_replayed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in protocols_fuzz::TARGETS {
        let files: Vec<_> = fs::read_dir(root.join(name)).expect(name).map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(bytes <= 100 * 1024, "{name}'s corpus is {bytes} bytes");
        for file in files {
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn the_targets_are_those_of_the_manifest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut there: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned()).collect();
    let mut known: Vec<_> = protocols_fuzz::TARGETS.iter().map(|(name, _)| std::ffi::OsString::from(*name)).collect();
    there.sort();
    known.sort();
    assert_eq!(there, known);
}
