//! What a filter needs of whatever runs it.

use crate::Headers;

/// A header on its own: its name and its value, which need not be UTF-8.
pub type Header = (String, Vec<u8>);

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the curious.
    Info,
    /// Something is not as it should be, and was handled.
    Warn,
    /// An operator must act.
    Error,
}

/// What a filter leaves beside a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// The tenant that was verified.
    Tenant,
    /// The revision of the policy that decided.
    Revision,
    /// The code of the denial.
    Code,
    /// The check that denied.
    Check,
}

impl Note {
    /// The property's name, one segment. Envoy keeps it in the filter state under `wasm.` and this
    /// name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "bulkhead.tenant",
            Self::Revision => "bulkhead.revision",
            Self::Code => "bulkhead.code",
            Self::Check => "bulkhead.check",
        }
    }
}

/// Shared data was changed by somebody else since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CasMismatch;

/// The host's side, for the request at hand.
///
/// Each call crosses the boundary of a WebAssembly VM, which costs more than most of what the
/// filters compute, so there are few: an admitted request with a known token makes three
/// ([`request_headers`](Host::request_headers), [`now`](Host::now),
/// [`change_request_headers`](Host::change_request_headers)), and a read and a write of shared data
/// where it settles with its tenant's bucket. The third is one call a header in Envoy: to hand back
/// all headers as one map looks cheaper, but makes the proxy remove and copy every one of them.
pub trait Host {
    /// All headers of the request. A host that cannot tell them must not return: to decide on
    /// fewer would let the others travel on.
    fn request_headers(&self) -> Headers;

    /// Removes every header of each name in `remove`, then gives each in `set` its one value. A
    /// host that cannot must not return: otherwise what the client sent would travel on.
    fn change_request_headers(&self, remove: &[&str], set: &[(&str, &[u8])]);

    /// Answers the request from here; it travels no further.
    fn reply(&self, status: u16, headers: Vec<(&str, &str)>, body: &str);

    /// Nanoseconds since the Unix epoch.
    fn now(&self) -> u64;

    /// A value that all workers of the process share, and its version.
    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Sets a shared value. An absent key is always inserted; a present one is replaced only
    /// where `version` is its version.
    ///
    /// # Errors
    /// [`CasMismatch`] where the key is present with another version.
    fn set_shared_data(&self, key: &str, value: &[u8], version: u32) -> Result<(), CasMismatch>;

    /// Whether `signature` over `message` is by the key in `spki_der` (RFC 5280, 4.1), computed
    /// natively; `None` where the host has no such function. `hash` is `sha256`, `sha384` or
    /// `sha512`; ECDSA signatures are in DER (RFC 3279, 2.2.3).
    fn verify_signature(
        &self,
        hash: &str,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool>;

    /// Random bytes from the operating system; `None` where there are none to have.
    fn random_seed(&self) -> Option<[u8; 32]>;

    /// Writes to the proxy's log. Nothing is logged per request: a flood must not fill a disk.
    fn log(&self, level: Level, message: &str);

    /// Leaves `value` beside the request, where the proxy's access log and routes find it. Asked
    /// for only where the operator wants to see it.
    fn note(&self, note: Note, value: &str);

    /// Adds one to a counter.
    fn increment(&self, metric: &str);
}
