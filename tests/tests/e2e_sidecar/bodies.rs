//! Bodies that are too large.
//!
//! What a client sees, over HTTP/1.1: at once a 413 with `connection: close` and the code
//! `body_too_large`. If it goes on sending, it has a second to read the answer, then Envoy closes
//! the connection under its hands (`EPIPE` or `ECONNRESET`), long before the end of the gigabyte.
//! A body that says that it is too large is refused before the sidecar reads a byte of it; one
//! that does not say so is read up to the limit of 32 MiB.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use devstack::stack::Stack;
use serde_json::Value;
use tests::e2e::{
    example::{Example, INFER},
    ledger::{Ledger, Metered, drained},
    tenant::Tenant,
};

const GIGABYTE: u64 = 1 << 30;

/// How far any process may grow for one such body: a sixteenth of it. A sidecar takes up to 32 MiB
/// of a body, and for a moment some of it twice, while the room for it grows. An Envoy takes what
/// its HTTP/2 windows let in (16 MiB a stream where nothing else is said), on either side.
const MAX_GROWTH_BYTES: u64 = 64 << 20;

const PATIENCE: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    ContentLength,
    Chunked,
}

/// What a client saw that sends all that it can.
#[derive(Debug)]
struct Seen {
    answer: Option<String>,
    sent_bytes: u64,
    /// Why it could send no more, where that was before the end.
    cut: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_gigabyte_is_refused_and_the_memory_of_every_process_stays_flat() {
    let stack = Stack::builder().start().await.unwrap();
    let ledger = Ledger::of(&stack);
    let example = Example::read().unwrap();
    let client = Tenant::of(&stack, "org_ua").unwrap();
    client.predict(&example, 1).await.unwrap();
    let processes = processes(&stack);

    for framing in [Framing::ContentLength, Framing::Chunked] {
        let before = rest(&processes).unwrap();
        let ingress = stack.ingress().options().listen;
        let token = client.token.clone();
        let sending = tokio::task::spawn_blocking(move || send(ingress, &token, framing));
        let seen = sending.await.unwrap().unwrap();
        eprintln!("{framing:?}: {seen:?}");
        check(&seen).unwrap();
        for ((name, pid), before) in processes.iter().zip(before) {
            let peak = memory_bytes(*pid, "VmHWM").unwrap();
            eprintln!("{framing:?}: {name} was {before} bytes and never more than {peak}");
            assert!(peak <= before + MAX_GROWTH_BYTES, "{name}: {before} -> {peak} bytes");
        }
        client.predict(&example, 1).await.unwrap();
    }
    assert!(stack.processes_alive(), "{:?}", stack.processes());
    drained(&stack).await.unwrap();
    assert_eq!(ledger.metered("org_ua").await.unwrap(), Metered::requests(3, 1));
}

fn check(seen: &Seen) -> Result<()> {
    let answer = seen.answer.as_deref().context("the connection was closed without an answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    ensure!(head.starts_with("HTTP/1.1 413 "), "{answer}");
    let problem: Value = serde_json::from_str(body)?;
    ensure!(problem["code"] == "body_too_large", "{answer}");
    ensure!(seen.sent_bytes < GIGABYTE && seen.cut.is_some(), "all of it was taken: {seen:?}");
    Ok(())
}

/// Sends a gigabyte or as much of it as is taken, reading what comes meanwhile.
fn send(ingress: SocketAddr, token: &str, framing: Framing) -> Result<Seen> {
    let mut stream = TcpStream::connect(ingress)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let reading = thread::spawn({
        let stream = stream.try_clone()?;
        move || read_answer(stream)
    });
    let length = match framing {
        Framing::ContentLength => format!("content-length: {GIGABYTE}"),
        Framing::Chunked => "transfer-encoding: chunked".to_owned(),
    };
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: api\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\n{length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let chunk = [b' '; CHUNK_BYTES];
    let framed = match framing {
        Framing::ContentLength => chunk.to_vec(),
        Framing::Chunked => [format!("{CHUNK_BYTES:x}\r\n").as_bytes(), &chunk, b"\r\n"].concat(),
    };
    let mut sent_bytes = 0;
    let mut cut = None;
    while sent_bytes < GIGABYTE && cut.is_none() {
        match stream.write_all(&framed) {
            Ok(()) => sent_bytes += CHUNK_BYTES as u64,
            Err(error) => cut = Some(error.to_string()),
        }
    }
    let answer = reading.join().ok().context("the reader panicked")?;
    Ok(Seen { answer, sent_bytes, cut })
}

/// All that comes until the connection ends, in whichever way.
fn read_answer(mut stream: TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut some) {
        bytes.extend_from_slice(&some[..read]);
    }
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Those on the request's way, with their ids.
fn processes(stack: &Stack) -> Vec<(String, u32)> {
    let named = |name: &str| {
        let found = stack.processes().into_iter().find(|it| it.name == name);
        (name.to_owned(), found.and_then(|it| it.pid).unwrap())
    };
    ["ingress", "node-shared", "sidecar-shared"].map(named).to_vec()
}

/// What each takes now, in bytes; its peak is counted anew from here (proc(5), `clear_refs`).
fn rest(processes: &[(String, u32)]) -> Result<Vec<u64>> {
    let now = |(_, pid): &(String, u32)| {
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        memory_bytes(*pid, "VmRSS")
    };
    processes.iter().map(now).collect()
}

fn memory_bytes(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status.lines().find_map(|line| {
        let rest = line.strip_prefix(field)?.strip_prefix(':')?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    Ok(kilobytes.with_context(|| format!("no {field} in the status of {pid}"))? * 1024)
}
