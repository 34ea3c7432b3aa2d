//! The lines of a recording, one at a time: a file may be larger than memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, Result};
use flate2::read::MultiGzDecoder;

/// The longest line that is read, in bytes. Envoy's headers are bounded by 60 KiB.
const MAX_LINE_BYTES: usize = 1 << 20;

const BUFFER_BYTES: usize = 256 << 10;

/// The lines of a recording.
pub(super) struct Lines {
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

/// A line, with its number from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: u64,
    /// The line without its end, or nothing where it is too long.
    pub(super) text: Option<&'a [u8]>,
    /// Whether it has its end. The last line of a log that is still written may have none.
    pub(super) is_ended: bool,
}

impl Lines {
    /// Those of a file, which may be compressed by gzip where its name ends in `.gz`; those of the
    /// standard input where the file is `-`.
    pub(super) fn open(file: &Path) -> Result<Self> {
        if file == Path::new("-") {
            return Ok(Self::of(io::stdin()));
        }
        let opened =
            File::open(file).with_context(|| format!("could not read {}", file.display()))?;
        let is_compressed = file.extension().is_some_and(|extension| extension == "gz");
        Ok(if is_compressed { Self::of(MultiGzDecoder::new(opened)) } else { Self::of(opened) })
    }

    fn of(input: impl Read + 'static) -> Self {
        let input = Box::new(BufReader::with_capacity(BUFFER_BYTES, input));
        Self { input, line: Vec::new(), number: 0 }
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_cut = read > MAX_LINE_BYTES && self.line.last() != Some(&b'\n');
            if is_cut {
                self.input.skip_until(b'\n')?;
                return Ok(Some(Line { number: self.number, text: None, is_ended: true }));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let is_ended = self.line.last() == Some(&b'\n');
        Ok(Some(Line { number: self.number, text: Some(self.line.trim_ascii()), is_ended }))
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(mut lines: Lines) -> Vec<(u64, Option<String>)> {
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let text = line.text.map(|text| String::from_utf8_lossy(text).into_owned());
            found.push((line.number, text));
        }
        found
    }

    fn line(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[test]
    fn lines_keep_the_numbers_that_an_editor_shows() {
        let found = all(Lines::of(&b"{1}\r\n\n  \n{2}\n{3}"[..]));
        assert_eq!(found, [line(1, "{1}"), line(4, "{2}"), line(5, "{3}")]);
    }

    #[test]
    fn a_line_without_an_end_is_skipped_and_never_held() {
        let endless = io::repeat(b'x').take(50 * MAX_LINE_BYTES as u64);
        let mut lines = Lines::of(endless.chain(&b"\n{2}\n"[..]));
        assert_eq!(lines.next().unwrap(), Some(Line { number: 1, text: None, is_ended: true }));
        assert!(lines.line.capacity() <= 4 * MAX_LINE_BYTES, "{}", lines.line.capacity());
        assert_eq!(all(lines), [line(2, "{2}")]);
    }

    #[test]
    fn a_line_of_just_the_longest_length_is_read() {
        let text = "y".repeat(MAX_LINE_BYTES);
        assert_eq!(all(Lines::of(io::Cursor::new(format!("{text}\n")))), [line(1, &text)]);
        let text = "y".repeat(MAX_LINE_BYTES + 1);
        assert_eq!(
            all(Lines::of(io::Cursor::new(format!("{text}\n{{}}")))),
            [(1, None), line(2, "{}")]
        );
    }

    #[test]
    fn a_compressed_file_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log.gz");
        let mut packed = flate2::write::GzEncoder::new(
            File::create(&file).unwrap(),
            flate2::Compression::default(),
        );
        packed.write_all(b"{1}\n{2}\n").unwrap();
        packed.finish().unwrap();
        assert_eq!(all(Lines::open(&file).unwrap()), [line(1, "{1}"), line(2, "{2}")]);
    }
}
