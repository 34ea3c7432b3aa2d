//! The meter at its source: a usage event is durable before its answer leaves, and reaches the
//! control plane at least once, whatever crashes.
//!
//! [`WriteAheadLog::append`] returns once the batch that holds the event is synced to disk. A
//! [`Shipper`] sends what is durable to a [`Sink`] in order, and moves a durable cursor behind
//! what was acknowledged. Events carry the id of their request, so the receiver counts each
//! once. What a crash leaves on the disk is read by `recovery.rs`; the bytes are described in
//! `frame.rs`.
//!
//! This crate knows no prices, no quotas and no HTTP server, never reads a clock for an event,
//! and never decides what counts as usage. It writes one directory per process, on one disk:
//! that a disk may die is for the operator's storage to answer.
//!
//! Start with [`WriteAheadLog::open`].
//!
//! ```no_run
//! # async fn serve(client: reqwest::Client, event: metering::UsageEvent) -> Result<(), Box<dyn std::error::Error>> {
//! use metering::{HttpSink, LogOptions, Shipper, ShipperOptions, WriteAheadLog};
//!
//! let opened = WriteAheadLog::open(LogOptions::new("/var/lib/bulkhead/usage"))?;
//! let sink = HttpSink::new(client, "http://127.0.0.1:18000");
//! let mut shipper = Shipper::new(opened.backlog, sink, ShipperOptions::default());
//! tokio::spawn(async move { shipper.run(std::future::pending()).await });
//!
//! opened.log.append(&event).await?; // only now may the answer leave
//! # Ok(())
//! # }
//! ```

mod append;
mod backlog;
mod cursor;
mod dead_letter;
mod disk;
mod event;
mod frame;
mod http_sink;
mod recovery;
mod scan;
mod segment;
mod shipper;
mod sink;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use append::{AppendError, LogOptions, OpenedLog, WriteAheadLog};
pub use backlog::Backlog;
pub use event::UsageEvent;
pub use http_sink::HttpSink;
pub use recovery::{Damage, OpenError, Recovery};
pub use shipper::{Shipper, ShipperOptions};
pub use sink::{ShipError, Sink};
pub use state::MeterStats;
