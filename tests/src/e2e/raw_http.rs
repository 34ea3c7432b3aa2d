//! HTTP/1.1 with every byte as the test wants it: names keep their case and headers may repeat,
//! which well-behaved clients do not allow.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use scenario::Header;

const PATIENCE: Duration = Duration::from_secs(20);

const CHUNK_BYTES: usize = 1000;

/// An answer.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// The first value of `name`.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }
}

/// A request's body. Its bytes are all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Body {
    /// How many bytes it has. Where it is not sent in chunks, a header must say so.
    pub bytes: u64,
    /// Whether it is sent in chunks (RFC 9112, 7.1).
    pub chunked: bool,
}

/// Sends a request over a connection of its own and reads the answer. `headers` holds the pseudo
/// headers of HTTP/2 (`:method` and so on) too.
///
/// # Errors
/// Where the connection fails or the answer is not HTTP.
pub fn exchange(address: SocketAddr, headers: &[Header], body: Body) -> Result<RawAnswer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("could not connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&encode(headers, body)?)?;
    read(&mut stream)
}

/// Reads as far as the answer goes and no further: a proxy takes its time to close.
fn read(stream: &mut TcpStream) -> Result<RawAnswer> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(answer) = decode(&bytes).with_context(|| shown(&bytes))? {
            return Ok(answer);
        }
        let read = stream.read(&mut chunk).context("the answer did not come whole")?;
        ensure!(read > 0, "the connection ended after {}", shown(&bytes));
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("`{}`", String::from_utf8_lossy(bytes))
}

fn encode(headers: &[Header], body: Body) -> Result<Vec<u8>> {
    let pseudo = |name: &str| {
        let found = headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_slice()).with_context(|| format!("no `{name}`"))
    };
    let line = [pseudo(":method")?, b" ", pseudo(":path")?, b" HTTP/1.1\r\n"].concat();
    let host = [b"host: ", pseudo(":authority")?, b"\r\nconnection: close\r\n"].concat();
    let mut request = [line, host].concat();
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let bytes = vec![b'x'; usize::try_from(body.bytes)?];
    if body.chunked {
        request.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in bytes.chunks(CHUNK_BYTES) {
            request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            request.extend([chunk, b"\r\n"].concat());
        }
        request.extend(b"0\r\n\r\n");
    } else {
        request.extend([b"\r\n", bytes.as_slice()].concat());
    }
    Ok(request)
}

/// Nothing where there is more to come.
fn decode(bytes: &[u8]) -> Result<Option<RawAnswer>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = bytes.windows(END.len()).position(|it| it == END) else { return Ok(None) };
    let (head, rest) = bytes.split_at(end);
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
    let headers: Vec<Header> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').context("a line without a colon")?;
            Ok((name.to_owned(), value.trim().as_bytes().to_vec()))
        })
        .collect::<Result<_>>()?;
    let mut answer = RawAnswer { status: status.parse()?, headers, body: Vec::new() };
    let length: usize = answer.header("content-length").context("no content-length")?.parse()?;
    let body = rest.get(END.len()..END.len() + length);
    Ok(body.map(|body| {
        answer.body = body.to_vec();
        answer
    }))
}
