//! The way of one prediction, by whichever protocol it came: model, decode, execute, encode; in this
//! order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use inference::Tensor;

use crate::{
    answer::Refusal,
    assignments::Assigned,
    execute::{Call, Executed, Execution, execute},
    protocol::{InferRequest, ProtocolError},
    server::Sidecar,
    statistics::Sample,
};

/// Writes the answer of a model to the request with an id, in a form.
pub(crate) type Encode<F, A> =
    fn(&Assigned, Option<String>, Vec<Tensor>, F) -> Result<A, ProtocolError>;

/// How a protocol's bodies are read and written. `F` is what the request asks of the answer's form.
pub(crate) struct Wire<D, F, A> {
    /// About how long the body takes to read, in bytes.
    pub(crate) body_bytes: usize,
    /// Reads the body.
    pub(crate) decode: D,
    /// Whether the answer can be written so. What cannot is refused before it is metered.
    pub(crate) carries: fn(&[Tensor], &F) -> Result<(), ProtocolError>,
    /// Writes the answer.
    pub(crate) encode: Encode<F, A>,
}

/// Answers a prediction, and counts it.
pub(crate) async fn predict<D, F, A>(
    sidecar: &Sidecar,
    call: Call<'_>,
    wire: Wire<D, F, A>,
) -> Result<A, Refusal>
where
    D: FnOnce() -> Result<(InferRequest, F), ProtocolError> + Send + 'static,
    F: Send + 'static,
    A: Send + 'static,
{
    let (assigned, started) = (call.assigned, call.started);
    let predicted = predicted(sidecar, call, wire).await;
    match predicted {
        Ok((answer, sample)) => {
            sidecar.statistics.succeeded(assigned, &sample, started.elapsed());
            Ok(answer)
        }
        Err(refusal) => {
            sidecar.statistics.failed(assigned, started.elapsed());
            Err(refusal)
        }
    }
}

async fn predicted<D, F, A>(
    sidecar: &Sidecar,
    call: Call<'_>,
    Wire { body_bytes, decode, carries, encode }: Wire<D, F, A>,
) -> Result<(A, Sample), Refusal>
where
    D: FnOnce() -> Result<(InferRequest, F), ProtocolError> + Send + 'static,
    F: Send + 'static,
    A: Send + 'static,
{
    let assigned = call.assigned;
    // Before the body is decoded: what it holds meanwhile is bounded, and what it becomes is so only
    // from where it waits for a processor.
    let loaded = sidecar.models.get(call.tenant.tier, assigned).await?;
    let decoding = Instant::now();
    let (request, form) = sidecar.codec.run(body_bytes, decode).await?.map_err(refused)?;
    let decoded = decoding.elapsed();
    let InferRequest { id: request_id, inputs, outputs: wanted, timeout_micros } = request;
    let asked = timeout_micros.and_then(|it| call.started.checked_add(Duration::from_micros(it)));
    let call = Call { deadline: earliest(call.deadline, asked), ..call };
    let execution = Execution { call, loaded, inputs, wanted };
    let check = |outputs: &[Tensor]| carries(outputs, &form).map_err(refused);
    let Executed { outputs, rows, timings } = execute(sidecar, execution, check).await?;
    let encoding = Instant::now();
    let elements = outputs.iter().map(|tensor| tensor.data().len()).sum();
    let answer = {
        let assigned = Arc::clone(assigned);
        sidecar.codec.run(elements, move || encode(&assigned, request_id, outputs, form))
    };
    let answer = answer.await?.map_err(refused)?;
    Ok((answer, Sample { rows, decoded, timings, encoded: encoding.elapsed() }))
}

/// The earlier of two moments, each of which may not be said.
fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

fn refused(error: ProtocolError) -> Refusal {
    Refusal::new(error.problem, error.detail)
}
