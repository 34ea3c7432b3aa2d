//! What the documents name is there: paths, tests and commands.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    markdown::Markdown,
    workspace::{cargo, files, printed, root, text},
};

/// The documents that are held to it.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "bench/README.md",
    "examples/flights/README.md",
];

/// Code that ends like this is a path, with or without a slash in it.
const EXTENSIONS: &[&str] =
    &["md", "rs", "toml", "lock", "yaml", "yml", "json", "env", "py", "onnx", "gz", "txt"];

/// Folders that are made on the reader's machine.
const GENERATED: &[&str] = &["target/", ".bulkhead/"];

/// What reads as a path and is none of the repository, each with what it is.
const OF_ELSEWHERE: &[(&str, &str, &str)] =
    &[("CHANGELOG.md", "artifacts/", "a folder in the state of an xds-server")];

#[test]
fn every_document_is_there() {
    let missing: Vec<&&str> = DOCUMENTS.iter().filter(|it| !root().join(it).is_file()).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}

/// The rule. Inline code is a path where it holds a slash or ends in one of [`EXTENSIONS`]. It is
/// none where it
///
/// * holds a space (it is a command or a phrase) or `://` (a URL),
/// * starts with a slash (the path of a request, or of another machine),
/// * holds one of `*<>{}$…` (a pattern or a placeholder),
/// * is a media type,
/// * lies in one of [`GENERATED`], or stands in [`OF_ELSEWHERE`].
///
/// A link's target is always a path, but for URLs and places in the same document.
#[test]
fn every_path_that_a_document_names_exists() {
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        let markdown = read(document);
        for path in markdown.spans.iter().filter(|it| is_path(it) && !is_of_elsewhere(document, it))
        {
            if !exists(document, path) {
                faults.push(format!("{document}: `{path}`"));
            }
        }
        for link in markdown.links.iter().filter_map(|it| local(it)) {
            if !beside(document).join(link).exists() {
                faults.push(format!("{document}: ({link})"));
            }
        }
    }
    assert!(faults.is_empty(), "these do not exist:\n{}\n", faults.join("\n"));
}

#[test]
fn what_is_excused_from_existing_is_still_named() {
    for (document, path, what) in OF_ELSEWHERE {
        assert!(read(document).spans.iter().any(|it| it == path), "{document}: `{path}` ({what})");
    }
}

/// A name of four words or more that underscores join is that of a test, a scenario, a setting or
/// a problem: it stands in some source of the repository, or it was renamed since.
#[test]
fn every_long_name_that_a_document_gives_stands_in_a_source() {
    let mut sources: Vec<String> = Vec::new();
    for extension in ["rs", "yaml", "py", "json"] {
        for file in files(&root(), extension) {
            sources.push(file.file_stem().unwrap().to_string_lossy().into_owned());
            sources.push(text(&file));
        }
    }
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        let spans = read(document).spans;
        let names =
            spans.iter().flat_map(|span| span.split("::")).filter(|name| is_long_name(name));
        let lost = names.filter(|name| !sources.iter().any(|source| source.contains(*name)));
        faults.extend(lost.map(|name| format!("{document}: `{name}`")));
    }
    assert!(faults.is_empty(), "no source holds these:\n{}\n", faults.join("\n"));
}

/// "`a_b_c_d` and `e_f_g_h` in `x/y.rs`": both are functions in `x/y.rs`, or in the modules of it,
/// which lie in `x/y/`, or beside it for a `main.rs`.
#[test]
fn every_test_that_a_document_places_in_a_file_is_in_it() {
    let mut placed = 0;
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        let mut names: Vec<String> = Vec::new();
        for span in read(document).spans {
            if is_long_name(&span) {
                names.push(span);
            } else if span.ends_with(".rs") && is_path(&span) {
                let source = source_of(&root().join(&span));
                placed += names.len();
                let lost = names.drain(..).filter(|name| !source.contains(&format!("fn {name}(")));
                faults.extend(lost.map(|name| format!("{document}: `{name}` in `{span}`")));
            } else if is_path(&span) {
                names.clear();
            }
        }
    }
    assert!(faults.is_empty(), "these are not where they are said to be:\n{}\n", faults.join("\n"));
    assert!(placed > 0, "no document names a test with its file");
}

/// A file's text with that of its modules; none where there is no such file.
fn source_of(file: &Path) -> String {
    if !file.is_file() {
        return String::new();
    }
    let is_main = file.file_stem().is_some_and(|it| it == "main");
    let modules =
        if is_main { file.parent().unwrap().to_path_buf() } else { file.with_extension("") };
    let mut source = text(file);
    if modules.is_dir() {
        source.extend(files(&modules, "rs").iter().map(|file| text(file)));
    }
    source
}

#[test]
fn every_task_that_a_document_names_is_one_of_xtasks() {
    let there = listed(&cargo(&["xtask"]));
    assert!(there.contains("test"), "{there:?}");
    assert_known("cargo xtask", &there);
}

#[test]
fn every_command_that_a_document_names_is_one_of_bulkheads() {
    let bulkhead = devstack::environment::bulkhead().unwrap();
    let help = printed(Command::new(bulkhead).arg("--help"));
    let (_, commands) = help.split_once("Commands:").unwrap();
    let there = listed(commands);
    assert!(there.contains("apply"), "{help}");
    assert_known("bulkhead", &there);
}

fn assert_known(program: &str, there: &BTreeSet<String>) {
    let mut named = BTreeSet::new();
    for document in DOCUMENTS {
        let markdown = read(document);
        let lines = markdown.spans.iter().chain(&markdown.fenced);
        for task in lines.filter_map(|line| subcommand(program, line)) {
            assert!(there.contains(task), "{document}: `{program} {task}`; there are {there:?}");
            named.insert(task.to_owned());
        }
    }
    assert!(!named.is_empty(), "no document names a command of `{program}`");
}

/// `up` of `cargo xtask up --once`, for `program` at the start of the line.
fn subcommand<'a>(program: &str, line: &'a str) -> Option<&'a str> {
    let rest = line.trim().trim_start_matches("$ ").strip_prefix(program)?;
    let word = rest.strip_prefix(' ')?.split_whitespace().next()?;
    word.starts_with(|it: char| it.is_ascii_lowercase()).then_some(word)
}

/// The first word of each line that is indented by two spaces.
fn listed(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
    let words = lines.filter(|line| !line.starts_with(' ')).filter_map(|line| {
        line.split_whitespace().next().filter(|word| !word.starts_with('-')).map(str::to_owned)
    });
    words.collect()
}

/// One that is missing is told once, by its own test.
fn read(document: &str) -> Markdown {
    let file = root().join(document);
    if file.is_file() { Markdown::read(&text(&file)) } else { Markdown::default() }
}

fn beside(document: &str) -> PathBuf {
    root().join(document).parent().unwrap().to_path_buf()
}

/// A path is read from the root or from the document's own folder. `a/b.rs::c` is `c` in `a/b.rs`.
fn exists(document: &str, path: &str) -> bool {
    let path = path.split("::").next().unwrap_or(path);
    root().join(path).exists() || beside(document).join(path).exists()
}

fn is_path(span: &str) -> bool {
    let file = span.split("::").next().unwrap_or(span);
    let extension = Path::new(file).extension().and_then(|it| it.to_str());
    let looks_like_one = file.contains('/') || extension.is_some_and(|it| EXTENSIONS.contains(&it));
    let is_none = span.contains(char::is_whitespace)
        || span.contains("://")
        || span.starts_with('/')
        || span.contains(['*', '<', '>', '{', '}', '$', '…'])
        || span.starts_with("application/")
        || GENERATED.iter().any(|it| span.starts_with(it));
    looks_like_one && !is_none
}

fn is_of_elsewhere(document: &str, path: &str) -> bool {
    OF_ELSEWHERE.iter().any(|(in_document, it, _)| *in_document == document && *it == path)
}

fn local(link: &str) -> Option<&str> {
    let path = link.split('#').next().unwrap_or_default();
    (!path.is_empty() && !link.contains("://") && !link.starts_with("mailto:")).then_some(path)
}

fn is_long_name(text: &str) -> bool {
    let is_a_word = |word: &str| {
        !word.is_empty() && word.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    text.split('_').count() >= 4 && text.split('_').all(is_a_word)
}

#[test]
fn the_rule_tells_paths_from_other_code() {
    for path in ["tests/tests/architecture.rs", "Cargo.lock", "bench/", "a/b.rs::c"] {
        assert!(is_path(path), "{path}");
    }
    for other in [
        "cargo xtask check",
        "/v2/models/m/infer",
        "https://example.com/a.md",
        "tests/scenarios/*.yaml",
        "models/{name}.onnx",
        "target/debug/bulkhead",
        ".bulkhead/state",
        "application/problem+json",
        "Envoy",
        "1.40",
    ] {
        assert!(!is_path(other), "{other}");
    }
    assert_eq!(local("ARCHITECTURE.md#rooms"), Some("ARCHITECTURE.md"));
    assert_eq!(local("#rooms"), None);
    assert_eq!(subcommand("bulkhead", "bulkhead apply -f FILE"), Some("apply"));
    assert_eq!(subcommand("cargo xtask", "cargo xtask    # what there is"), None);
    assert!(is_long_name("a_neighbours_model_stays_his") && !is_long_name("air_time"));
}
