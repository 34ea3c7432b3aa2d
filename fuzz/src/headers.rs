//! Headers as a proxy hands them over.

use std::rc::Rc;

use filter_core::{
    Gate, Headers, Recheck, Verdict,
    memory_host::{Clock, MemoryHost, SharedData},
};

use tenancy::headers::{CLUSTER, PASSPORT, REQUEST_ID, is_internal};

use crate::deployment::{DEPLOYMENT, SEAL_KEY};

/// Reads a serialised map, and has the gate decide on it; where that lets it through, the recheck
/// on what travels on.
///
/// # Panics
/// Where a denied request has no answer, or one that is let through has other internal headers than
/// the gate's own, each once. The client's token goes with the ingress's route, which is not here.
pub fn headers(bytes: &[u8]) -> bool {
    let Some(map) = Headers::from_map(bytes.to_vec()) else { return false };
    let host = MemoryHost::new(&Clock::default(), &SharedData::default());
    let headers = map.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
    host.begin(headers.collect());
    let gate = Gate::configure(&Rc::default(), &host, &DEPLOYMENT.gate, Some(SEAL_KEY))
        .expect("the gate's own table");
    let explained = gate.explain(&host).verdict;
    let verdict = gate.on_request_headers(&host);
    assert_eq!(explained, verdict, "what is explained is not what is done");
    match verdict {
        Verdict::Forward => {
            let kept = host.request();
            let names = kept.iter().map(|(name, _)| name.as_str());
            let mut internal: Vec<_> = names.filter(|it| is_internal(it.as_bytes())).collect();
            internal.sort_unstable();
            assert_eq!(internal, [CLUSTER, PASSPORT, REQUEST_ID], "internal headers travel on");
            let recheck = Recheck::configure(&DEPLOYMENT.node).expect("the node's own table");
            let rechecked = recheck.on_request_headers(&host);
            assert!(rechecked == Verdict::Forward || host.replied().is_some(), "no answer");
            rechecked == Verdict::Forward
        }
        Verdict::Denied(_) => {
            let reply = host.replied().expect("a denial is answered");
            assert!((400..600).contains(&reply.status), "denied with {}", reply.status);
            false
        }
    }
}
