//! The functions of numbers that shaders call, each with those that it calls itself.

/// A function's text.
struct Function {
    name: &'static str,
    calls: Vec<&'static str>,
    text: &'static str,
}

/// Every function, from files in which a blank line ends one.
fn functions() -> impl Iterator<Item = Function> {
    let files =
        [include_str!("floats.wgsl"), include_str!("curves.wgsl"), include_str!("integers.wgsl")];
    files.into_iter().flat_map(|file| file.split("\n\n")).filter_map(|text| {
        let start = text.find("fn ")?;
        let name = text.get(start + 3..)?.split('(').next()?;
        Some(Function { name, calls: vec![], text: text.get(start..)? })
    })
}

/// The texts of some functions and of all that they call, each once.
pub(crate) fn texts<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut all: Vec<Function> = functions().collect();
    let known: Vec<&'static str> = all.iter().map(|it| it.name).collect();
    for function in &mut all {
        let words = function.text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let calls = words.filter(|it| *it != function.name);
        function.calls =
            calls.filter_map(|it| known.iter().find(|name| **name == it)).copied().collect();
    }
    let mut wanted = vec![false; all.len()];
    let mut open: Vec<&str> = names.into_iter().collect();
    while let Some(name) = open.pop() {
        for (function, wanted) in all.iter().zip(&mut wanted) {
            if function.name == name && !*wanted {
                *wanted = true;
                open.extend(&function.calls);
            }
        }
    }
    let texts = all.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    texts.flat_map(|(it, _)| [it.text, "\n"]).collect()
}
