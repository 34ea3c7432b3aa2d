//! Plays the scenarios of folders natively, and over WebAssembly where `BULKHEAD_WASM_DIR` says
//! where it is, and prints what was not kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "an example fails by panicking")]

use std::path::PathBuf;

use scenario::{Ending, Filters, Suite};

fn main() {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let suite = Suite::load(&folders, None).unwrap_or_else(|mistakes| {
        eprintln!("{mistakes}");
        std::process::exit(2);
    });
    let filters = std::env::var_os("BULKHEAD_WASM_DIR")
        .map(|folder| Filters::load(folder.as_ref(), None).expect("the filters compile"));
    let began = std::time::Instant::now();
    let verdicts = suite.run(filters.as_ref());
    let took = began.elapsed();
    for verdict in verdicts.iter().filter(|verdict| !verdict.is_good()) {
        match &verdict.result {
            Ok(Ending::Broken(_, broken)) => {
                broken.iter().for_each(|it| println!("{it} (over {})", verdict.way));
            }
            Err(error) => println!("{error} (over {})", verdict.way),
            Ok(_) => {}
        }
    }
    println!("{} scenarios, {} runs, {took:?}", suite.scenarios().len(), verdicts.len());
}
