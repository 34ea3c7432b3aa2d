//! What the sidecars behind the nodes decide: by the very code that runs in them, over what the
//! control plane would assign.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use http::{Request, Response, Uri, request::Parts};
use model_server::Decisions;

use crate::{Deployment, Error, Header, Observed};

/// The checks of a data plane's sidecars.
#[derive(Debug)]
pub struct Sidecar(Decisions);

impl Sidecar {
    /// Those of `data_plane`.
    ///
    /// # Errors
    /// Where there is no such data plane, or a sidecar would refuse what it is assigned.
    pub fn of(deployment: &Deployment, data_plane: &str) -> Result<Self, Error> {
        let (node, tenants) = deployment.assignments(data_plane)?;
        Ok(Self(Decisions::of(&node, &tenants)?))
    }

    /// What a check answers to a request that arrived at `now`, the time since 1970; nothing where
    /// none denies it. `counted` is told of each check in shadow that would have.
    ///
    /// Where the sidecar refuses a request by a rule of its own, no check is asked and the answer
    /// is nothing: what scenarios show of sidecars is their checks.
    pub fn denial(
        &self,
        request: &Parts,
        now: Duration,
        counted: impl Fn(&str),
    ) -> Option<Response<Vec<u8>>> {
        let denied = self.0.denial(request, now, |check, _| counted(check))?;
        Some(denied.map(|body| body.to_vec()))
    }
}

/// The sidecars of every data plane, as a way of playing without Envoy has them.
#[derive(Debug, Default)]
pub(crate) struct Sidecars {
    sidecars: BTreeMap<String, Sidecar>,
    /// How often each check in shadow would have denied a request.
    shadow: BTreeMap<String, u64>,
    reached: u64,
}

impl Sidecars {
    /// Assigns what `deployment` does.
    pub(crate) fn configure(&mut self, deployment: &Deployment) -> Result<(), Error> {
        let planes = deployment.data_planes();
        let sidecars = planes.map(|it| Ok((it.to_owned(), Sidecar::of(deployment, it)?)));
        self.sidecars = sidecars.collect::<Result<_, Error>>()?;
        Ok(())
    }

    /// What becomes of a request that a node lets through at `now` (Unix seconds).
    pub(crate) fn arrive(
        &mut self,
        data_plane: &str,
        headers: Vec<Header>,
        now: u64,
    ) -> Result<Observed, Error> {
        let failed: RefCell<Vec<String>> = RefCell::default();
        let counted = |check: &str| failed.borrow_mut().push(check.to_owned());
        let sidecar = self.sidecars.get(data_plane);
        // What is no request in HTTP reaches no check.
        let denied = sidecar.zip(request(&headers)).and_then(|(sidecar, request)| {
            sidecar.denial(&request, Duration::from_secs(now), counted)
        });
        for check in failed.into_inner() {
            *self.shadow.entry(check).or_default() += 1;
        }
        if let Some(denied) = denied {
            return Ok(observed(denied));
        }
        self.reached += 1;
        Ok(Observed::Forwarded { data_plane: data_plane.to_owned(), headers })
    }

    /// How many requests were denied by no check here.
    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// Adds how often each check in shadow would have denied a request.
    pub(crate) fn add_shadow_failures(&self, failures: &mut BTreeMap<String, u64>) {
        for (check, count) in &self.shadow {
            *failures.entry(check.clone()).or_default() += count;
        }
    }
}

/// The head of the request of these headers, pseudo headers first.
fn request(headers: &[Header]) -> Option<Parts> {
    let pseudo = |name: &str| {
        let found = headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_slice())
    };
    let mut uri = Uri::builder().path_and_query(pseudo(":path")?);
    if let Some(authority) = pseudo(":authority") {
        uri = uri.scheme("http").authority(authority);
    }
    let mut request = Request::builder().method(pseudo(":method")?).uri(uri.build().ok()?);
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        request = request.header(name.as_str(), value.as_slice());
    }
    request.body(()).ok().map(|request| request.into_parts().0)
}

fn observed(answer: Response<Vec<u8>>) -> Observed {
    let headers = answer.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Observed::Denied {
        status: answer.status().as_u16(),
        headers: headers.collect(),
        body: answer.into_body(),
    }
}
