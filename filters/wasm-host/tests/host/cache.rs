use wasm_host::{Engine, Host, Module, ModuleError};

use crate::support::{filter, on_request, pass};

#[test]
fn what_was_compiled_once_is_read_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let filter = filter(&on_request("(call $answer <<x-cached>> (i32.const 1))"));
    let run = || {
        let engine = Engine::cached(folder.path()).unwrap();
        let module = Module::compile(&engine, &filter).unwrap();
        let passed = pass(&Host::builder(&module).start().unwrap());
        assert_eq!(passed.get("x-cached"), Some([1].as_slice()));
        engine.cache_counts().unwrap()
    };
    assert_eq!(run(), (0, 1));
    assert_eq!(run(), (1, 0));
}

#[test]
fn a_damaged_cache_is_compiled_over() {
    let folder = tempfile::tempdir().unwrap();
    let filter = filter(&on_request(""));
    let compile = || {
        let engine = Engine::cached(folder.path()).unwrap();
        Module::compile(&engine, &filter).unwrap();
        engine.cache_counts().unwrap()
    };
    compile();
    for file in files(folder.path()) {
        std::fs::write(file, b"not what was compiled").unwrap();
    }
    compile();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = Engine::cached(file.path().join("below"));
    let Err(ModuleError::Cache { folder, .. }) = refused else {
        panic!("expected a refusal, found {refused:?}");
    };
    assert!(folder.ends_with("below"));
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
