//! What came of scenarios, for CI: the XML that JUnit's Ant task began with and that every CI
//! system reads.

use std::fmt::Write as _;

use super::report::{End, Line, Report};

/// The whole document: a test suite for each way, a test case for each scenario.
pub(super) fn document(report: &Report<'_>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let mut ways: Vec<_> = report.lines.iter().map(|line| line.way).collect();
    ways.sort_unstable();
    ways.dedup();
    for way in ways {
        let lines: Vec<&Line<'_>> = report.lines.iter().filter(|line| line.way == way).collect();
        let count = |is: fn(&End) -> bool| lines.iter().filter(|line| is(&line.end)).count();
        let seconds: f64 = lines.iter().map(|line| line.took.as_secs_f64()).sum();
        // Writing to a string does not fail.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"scenarios.{way}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
             skipped=\"{}\" time=\"{seconds:.3}\">",
            lines.len(),
            count(|end| matches!(end, End::Broken(_))),
            count(|end| matches!(end, End::Failed(_))),
            count(|end| matches!(end, End::Skipped(_))),
        );
        lines.iter().for_each(|line| case(&mut xml, line));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn case(xml: &mut String, line: &Line<'_>) {
    let (name, file) = (escaped(&line.scenario.name), line.scenario.file.display().to_string());
    let _ = write!(
        xml,
        "    <testcase classname=\"scenarios.{}\" name=\"{name}\" file=\"{}\" time=\"{:.3}\"",
        line.way,
        escaped(&file),
        line.took.as_secs_f64(),
    );
    let inside = match &line.end {
        End::Kept => {
            xml.push_str("/>\n");
            return;
        }
        End::Skipped(why) => format!("<skipped message=\"{}\"/>", escaped(why)),
        End::Broken(all) => format!(
            "<failure message=\"{}\">{}</failure>",
            escaped(&line.scenario.promise),
            escaped(&all.join("\n"))
        ),
        End::Failed(why) => format!("<error message=\"{}\"/>", escaped(why)),
    };
    let _ = writeln!(xml, ">\n      {inside}\n    </testcase>");
}

/// Fit for an attribute in double quotes and for text (XML 1.0, 2.4); what no XML may hold (2.2)
/// is replaced.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_text_breaks_out_of_an_attribute() {
        assert_eq!(escaped("a\"><&\n\u{1}é"), "a&quot;&gt;&lt;&amp;&#10;\u{fffd}é");
    }
}
