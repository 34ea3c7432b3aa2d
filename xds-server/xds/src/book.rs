//! The book: which proxies there are, what each was sent, and what it accepted or refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use envoy_types::pb::envoy::config::core::v3::{Node, node::UserAgentVersionType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::Variant;
use crate::outbox::Refused;
use crate::session::Event;

/// How many proxies that have gone are remembered.
const REMEMBERED: usize = 256;

/// A proxy as the book knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// The node id that the proxy gave.
    pub node: String,
    /// The group whose snapshot it is served.
    pub group: String,
    /// Who it says it is, such as `envoy 1.40.0`. Empty where it does not say.
    pub user_agent: String,
    /// The form of the protocol that it speaks.
    pub variant: Variant,
    /// When its stream was opened.
    pub connected_since: Timestamp,
    /// When its stream ended, or nothing while it is connected.
    pub gone_since: Option<Timestamp>,
    /// What it subscribed to, by type URL.
    pub types: BTreeMap<String, TypeStatus>,
    /// What it refused last, of whichever type. It stays when a later version is accepted, for
    /// whoever asks what happened.
    #[serde(default)]
    pub last_refusal: Option<LastRefusal>,
}

impl ProxyStatus {
    /// True while its stream is open.
    pub fn is_connected(&self) -> bool {
        self.gone_since.is_none()
    }
}

/// The state of one type at one proxy. Versions are those of [`crate::Snapshot::type_version`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeStatus {
    /// The version that was sent last.
    pub sent: Option<String>,
    /// The nonce of the response that was sent last.
    pub nonce: Option<String>,
    /// The version in force: the last one that the proxy accepted whole, or that asked nothing new
    /// of it.
    pub in_force: Option<String>,
    /// Since when that version is in force.
    pub in_force_since: Option<Timestamp>,
    /// The newest refusal, until a later version is accepted.
    pub refusal: Option<Refusal>,
    /// What it fetches before it can take a version, until it has taken or refused one.
    #[serde(default)]
    pub fetching: Option<Fetching>,
}

/// A version that a proxy cannot take yet: it fetches by itself what a resource names, and is sent
/// it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// The version that it did not take last.
    pub version: String,
    /// The proxy's own words.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was sent in vain.
    pub refusals: u32,
}

/// A version that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The version refused.
    pub version: String,
    /// The proxy's own words.
    pub message: String,
    /// The resources that the words name, or the only one that was sent. Empty where they cannot be
    /// told.
    pub resources: Vec<String>,
    /// When it was refused.
    pub at: Timestamp,
}

/// The last version that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// The type of which a version was refused.
    pub type_url: String,
    /// What was refused and why.
    pub refusal: Refusal,
}

/// The book of all proxies. Clones share the same book.
#[derive(Clone, Debug)]
pub struct Proxies {
    book: Arc<Mutex<Book>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Book {
    opened: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    status: ProxyStatus,
    refused: BTreeMap<String, Refused>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { book: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }
}

impl Proxies {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// All proxies that are connected, and the newest of those that have gone, by node id.
    pub fn list(&self) -> Vec<ProxyStatus> {
        let mut list: Vec<_> =
            self.lock().entries.values().map(|entry| entry.status.clone()).collect();
        list.sort_by(|one, other| one.node.cmp(&other.node));
        list
    }

    /// Changes whenever the book does. The value counts changes and means nothing else.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Enters a proxy. It is taken for gone when the connection is dropped.
    pub(crate) fn connect(&self, node: &Node, group: &str, variant: Variant) -> Connection {
        let mut book = self.lock();
        book.opened += 1;
        let id = book.opened;
        let before = book.take_gone(&node.id);
        let (types, refused, last_refusal) = before
            .filter(|entry| entry.status.group == group)
            .map(|entry| (entry.status.types, entry.refused, entry.status.last_refusal))
            .unwrap_or_default();
        let status = ProxyStatus {
            node: node.id.clone(),
            group: group.to_owned(),
            user_agent: user_agent(node),
            variant,
            connected_since: Timestamp::now(),
            gone_since: None,
            types,
            last_refusal,
        };
        book.entries.insert(id, Entry { status, refused });
        drop(book);
        self.changed();
        Connection { proxies: self.clone(), id, node: node.id.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Book {
    fn take_gone(&mut self, node: &str) -> Option<Entry> {
        let mut found = None;
        for (_, entry) in self
            .entries
            .extract_if(.., |_, entry| !entry.status.is_connected() && entry.status.node == node)
        {
            found = Some(entry);
        }
        found
    }

    fn disconnect(&mut self, id: u64) {
        let Some(node) = self.entries.get(&id).map(|entry| entry.status.node.clone()) else {
            return;
        };
        let elsewhere = self.entries.iter().any(|(other, entry)| {
            *other != id && entry.status.node == node && entry.status.is_connected()
        });
        if elsewhere {
            self.entries.remove(&id);
        } else if let Some(entry) = self.entries.get_mut(&id) {
            entry.status.gone_since = Some(Timestamp::now());
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        let gone = |entry: &Entry| !entry.status.is_connected();
        while self.entries.values().filter(|entry| gone(entry)).count() > REMEMBERED {
            let oldest = self
                .entries
                .iter()
                .filter(|(_, entry)| gone(entry))
                .min_by_key(|(_, entry)| entry.status.gone_since)
                .map(|(id, _)| *id);
            let Some(oldest) = oldest else { return };
            self.entries.remove(&oldest);
        }
    }
}

/// One open stream in the book.
#[derive(Debug)]
pub(crate) struct Connection {
    proxies: Proxies,
    id: u64,
    node: String,
}

impl Connection {
    /// The node id that the proxy gave.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// What this proxy refused on earlier streams.
    pub(crate) fn remembered(&self) -> BTreeMap<String, Refused> {
        self.proxies.lock().entries.get(&self.id).map(|it| it.refused.clone()).unwrap_or_default()
    }

    pub(crate) fn record(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        if let Some(entry) = self.proxies.lock().entries.get_mut(&self.id) {
            for event in events {
                entry.record(&self.node, event);
            }
        }
        self.proxies.changed();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.proxies.lock().disconnect(self.id);
        self.proxies.changed();
    }
}

impl Entry {
    fn record(&mut self, node: &str, event: Event) {
        match event {
            Event::Subscribed { type_url, resumes } => {
                if !resumes {
                    // A proxy that brings nothing along has started anew: what it once accepted is
                    // gone with it.
                    self.refused.remove(&type_url);
                    self.status.types.remove(&type_url);
                }
                self.status.types.entry(type_url).or_default();
            }
            Event::Sent { type_url, version, nonce } => {
                let status = self.status.types.entry(type_url).or_default();
                status.sent = Some(version);
                status.nonce = Some(nonce);
            }
            Event::InForce { type_url, version } => {
                tracing::debug!(node, type_url, %version, "version in force");
                self.refused.remove(&type_url);
                let status = self.status.types.entry(type_url).or_default();
                status.in_force = Some(version.to_string());
                status.in_force_since = Some(Timestamp::now());
                status.refusal = None;
                status.fetching = None;
            }
            Event::Fetching { type_url, refused, version, message } => {
                tracing::info!(node, type_url, %version, message, "proxy fetches what it needs");
                self.refused.insert(type_url.clone(), refused);
                let fetching = &mut self.status.types.entry(type_url).or_default().fetching;
                let (since, refusals) = fetching
                    .take()
                    .map_or((Timestamp::now(), 1), |before| (before.since, before.refusals + 1));
                let version = version.to_string();
                *fetching = Some(Fetching { version, message, since, refusals });
            }
            Event::Refused { type_url, refused, message } => {
                let resources = blamed(&refused, &message);
                let version = refused.version.to_string();
                tracing::warn!(
                    node,
                    type_url,
                    version,
                    ?resources,
                    message,
                    "proxy refused a version"
                );
                self.refused.insert(type_url.clone(), refused);
                let refusal = Refusal { version, message, resources, at: Timestamp::now() };
                let (last, of) = (refusal.clone(), type_url.clone());
                self.status.last_refusal = Some(LastRefusal { type_url: of, refusal: last });
                let status = self.status.types.entry(type_url).or_default();
                status.refusal = Some(refusal);
                status.fetching = None;
            }
        }
    }
}

fn blamed(refused: &Refused, message: &str) -> Vec<String> {
    if refused.names.len() == 1 {
        return refused.names.iter().cloned().collect();
    }
    refused.names.iter().filter(|name| message.contains(name.as_str())).cloned().collect()
}

fn user_agent(node: &Node) -> String {
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|it| format!("{}.{}.{}", it.major_number, it.minor_number, it.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}
