//! As much of Markdown as the documents' checks need.

/// A document's code and links.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Markdown {
    /// What stands between single backticks, outside fenced blocks.
    pub spans: Vec<String>,
    /// The targets of links, `[text](target)`, outside fenced blocks.
    pub links: Vec<String>,
    /// The lines of fenced blocks.
    pub fenced: Vec<String>,
}

impl Markdown {
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut prose = String::new();
        let mut is_fenced = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                is_fenced = !is_fenced;
            } else if is_fenced {
                found.fenced.push(line.to_owned());
            } else {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        // A span may go over the end of a line; what is between two backticks is code.
        for (index, piece) in prose.split('`').enumerate() {
            if index % 2 == 1 {
                found.spans.push(piece.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.links.extend(targets.map(|(target, _)| target.to_owned()));
        found
    }
}

#[test]
fn spans_links_and_blocks_are_told_apart() {
    let text =
        "See [the house](A.md) and `a/b.rs`,\nor `two\nlines`.\n```sh\ncargo `x`\n```\n`c`\n";
    let expected = Markdown {
        spans: vec!["a/b.rs".to_owned(), "two lines".to_owned(), "c".to_owned()],
        links: vec!["A.md".to_owned()],
        fenced: vec!["cargo `x`".to_owned()],
    };
    assert_eq!(Markdown::read(text), expected);
}
