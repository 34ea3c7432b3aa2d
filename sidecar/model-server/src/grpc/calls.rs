//! What each method does. Who may is decided as over REST: by the passport, the assignment and the
//! declared checks.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Request, request::Parts};
use hyper::body::Incoming;
use prost::Message;
use tenancy::problem::Problem;

use super::{
    Method,
    frame::{self, framed, message, reply},
    timeout,
};
use crate::{
    access::{self, Access},
    answer::{Answer, Refusal},
    assignments::{Assigned, TenantModels},
    body::HeldBody,
    clock,
    denial::Denial,
    execute::Call,
    infer::{Wire, predict},
    protocol::{
        EXTENSIONS, ProtocolError,
        grpc::{
            self, Raw,
            messages::{
                InferStatistics, ModelIndex, ModelInferRequest, ModelMetadataResponse,
                ModelRequest, ModelStatistics, ModelStatisticsResponse, ReadyResponse,
                RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveResponse,
                ServerMetadataResponse, StatisticDuration, TensorMetadata,
            },
        },
    },
    repository::{self, Entry},
    server::Sidecar,
    statistics::{Counts, Lasted, Spent},
    usage,
};

/// Answers one call, whatever it is.
pub(crate) async fn answer(
    sidecar: &Sidecar,
    request: Request<Incoming>,
) -> Result<Answer, Denial> {
    let started = Instant::now();
    let table = sidecar.assignments.table();
    let method = Method::parse(request.uri().path());
    // The node's own probes carry no passport.
    match method {
        Some(Method::ServerLive) => return Ok(reply(&ServerLiveResponse { live: true })?),
        Some(Method::ServerReady) => {
            let ready = access::ready(sidecar, &table).is_ok();
            return Ok(reply(&ReadyResponse { ready })?);
        }
        _ => {}
    }
    let access = Access::check(&table, request.headers(), clock::since_epoch())?;
    let method = method.ok_or_else(unknown_method)?;
    if method == Method::ServerMetadata {
        return Ok(server_metadata()?);
    }
    let models = access.models()?;
    let (parts, body) = request.into_parts();
    let body = sidecar.bodies.whole(&access.tenant, &parts.headers, body).await?;
    let call = Asked { sidecar, access: &access, models, parts: &parts, body };
    match method {
        Method::ModelInfer => call.infer(started).await,
        Method::ModelReady => call.ready().await,
        Method::ModelMetadata => call.metadata().await,
        Method::ModelStatistics => call.statistics(),
        Method::RepositoryIndex => Ok(call.index()?),
        Method::RepositoryModelLoad | Method::RepositoryModelUnload => {
            Err(repository::operators_only().into())
        }
        Method::ServerLive | Method::ServerReady | Method::ServerMetadata => {
            Err(unknown_method().into())
        }
    }
}

/// A call of a tenant that is served here, with its whole body.
struct Asked<'a> {
    sidecar: &'a Sidecar,
    access: &'a Access<'a>,
    models: &'a TenantModels,
    parts: &'a Parts,
    body: HeldBody,
}

type Found<'a> = (&'a TenantModels, &'a Arc<Assigned>);

impl<'a> Asked<'a> {
    fn message<M: Message + Default>(&self) -> Result<M, Refusal> {
        message(self.body.bytes.clone())
    }

    fn find(&self, name: &str, version: &str) -> Result<Found<'a>, Denial> {
        self.access.checked(self.sidecar, name, version, self.parts)
    }

    async fn infer(self, started: Instant) -> Result<Answer, Denial> {
        let body_bytes = self.body.bytes.len();
        let (sidecar, bytes) = (self.sidecar, self.body.bytes.clone());
        let request: ModelInferRequest =
            sidecar.codec.run(body_bytes, move || message(bytes)).await??;
        let (tenant, assigned) = self.find(&request.model_name, &request.model_version)?;
        let timeout = timeout::read(&self.parts.headers);
        let call = Call {
            id: usage::event_id(&self.parts.headers),
            node: self.access.node,
            tenant,
            assigned,
            started,
            deadline: timeout.and_then(|timeout| started.checked_add(timeout)),
        };
        let body = self.body;
        let wire = Wire {
            body_bytes,
            decode: move || {
                let raw = request.raw();
                let request = request.into_request()?;
                // Until here it shares the body's bytes, and so its share of what bodies may take.
                drop(body);
                Ok((request, raw))
            },
            carries: |_, _| Ok(()),
            encode: |assigned, id, outputs, raw: Raw| {
                let answer = grpc::response(&assigned.name, &assigned.version, id, outputs, raw);
                framed(&answer).map_err(|refusal| ProtocolError {
                    problem: refusal.problem,
                    detail: refusal.detail,
                })
            },
        };
        let framed: Bytes = predict(sidecar, call, wire).await?;
        Ok(frame::ok(framed))
    }

    async fn ready(self) -> Result<Answer, Denial> {
        let ModelRequest { name, version } = self.message()?;
        let (tenant, assigned) = self.find(&name, &version)?;
        self.sidecar.models.get(tenant.tier, assigned).await?;
        Ok(reply(&ReadyResponse { ready: true })?)
    }

    async fn metadata(self) -> Result<Answer, Denial> {
        let ModelRequest { name, version } = self.message()?;
        let (tenant, assigned) = self.find(&name, &version)?;
        let loaded = self.sidecar.models.get(tenant.tier, assigned).await?;
        let signature = loaded.model().signature();
        let versions = tenant.versions(&assigned.name);
        Ok(reply(&ModelMetadataResponse {
            name: assigned.name.to_string(),
            versions: versions.iter().map(ToString::to_string).collect(),
            platform: "onnx".to_owned(),
            inputs: signature.inputs.iter().map(TensorMetadata::from).collect(),
            outputs: signature.outputs.iter().map(TensorMetadata::from).collect(),
        })?)
    }

    fn statistics(self) -> Result<Answer, Denial> {
        let ModelRequest { name, version } = self.message()?;
        let statistics = &self.sidecar.statistics;
        let model_stats = if name.is_empty() {
            self.models.assigned().map(|it| model_statistics(it, statistics.of(it))).collect()
        } else {
            let (_, assigned) = self.find(&name, &version)?;
            vec![model_statistics(assigned, statistics.of(assigned))]
        };
        Ok(reply(&ModelStatisticsResponse { model_stats })?)
    }

    fn index(self) -> Result<Answer, Refusal> {
        let RepositoryIndexRequest { ready } = self.message()?;
        let name = |assigned: &Assigned| assigned.name.to_string();
        let entries = repository::index(self.sidecar, self.models.assigned(), ready, name);
        index(entries)
    }
}

/// The answer to `RepositoryIndex`.
pub(crate) fn index(entries: Vec<Entry>) -> Result<Answer, Refusal> {
    let models = entries.into_iter().map(|Entry { name, version, state, reason }| ModelIndex {
        name,
        version: version.to_string(),
        state: state.to_owned(),
        reason: reason.to_owned(),
    });
    reply(&RepositoryIndexResponse { models: models.collect() })
}

fn server_metadata() -> Result<Answer, Refusal> {
    reply(&ServerMetadataResponse {
        name: "bulkhead".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.iter().map(|&name| name.to_owned()).collect(),
    })
}

fn model_statistics(assigned: &Assigned, counts: Counts) -> ModelStatistics {
    let Counts { last_inference, inference_count, execution_count, spent } = counts;
    let Spent { success, fail, queue, compute_input, compute_infer, compute_output } = spent;
    let lasted = |Lasted { count, ns }| Some(StatisticDuration { count, ns });
    ModelStatistics {
        name: assigned.name.to_string(),
        version: assigned.version.to_string(),
        last_inference,
        inference_count,
        execution_count,
        inference_stats: Some(InferStatistics {
            success: lasted(success),
            fail: lasted(fail),
            queue: lasted(queue),
            compute_input: lasted(compute_input),
            compute_infer: lasted(compute_infer),
            compute_output: lasted(compute_output),
        }),
    }
}

fn unknown_method() -> Refusal {
    let detail = "expected a method that this server has, such as \
                  `inference.GRPCInferenceService/ModelInfer`";
    Refusal::new(Problem::MethodNotAllowed, detail)
}
