//! ONNX files into packages.

mod factor;
mod measure;
mod over;

use std::fmt;

use artifact::{Header, Identity, Mapped, PackageBuilder, PackageError, SectionKind, Tensor};
use kernels::{Element, KernelError, PanelShape};
use tenancy::Digest;

pub use measure::Deviation;
pub(crate) use over::Unpacked;
pub use over::{Adapted, Changed, PackOver, Wider, pack_over};

use crate::{
    Backend, InferError, LoadError, TensorSpec,
    cpu::{CpuBackend, model::Typed},
    lower::{Lowered, lower},
    plan::{Layout, WeightKind},
};

/// The key of the notes that say how a package runs, and why.
pub const RUNS: &str = "runs";

/// How a model is packed.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Whose model it is.
    pub identity: Identity,
    /// What weights become.
    pub weights: WeightKind,
    /// For narrow weights, the largest [`Deviation::largest`] that is accepted.
    pub largest_deviation: f64,
    /// Whether the ONNX file goes along where the package runs without it. Where it does not, the
    /// file cannot be had back.
    pub with_source: bool,
    /// The layouts in which weights are packed, by how many columns their panels have: one for each
    /// kind of processor among the nodes. A node that reads none of them packs the weights again,
    /// once, into a file beside the package in its store.
    pub lanes: Vec<usize>,
}

impl Default for Pack {
    /// 32-bit floats in the one layout that the kernels of x86-64 and of 64-bit ARM read, the ONNX
    /// file with them, and nobody's.
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            weights: WeightKind::F32,
            largest_deviation: 0.0,
            with_source: true,
            lanes: vec![16],
        }
    }
}

/// A packed model.
#[derive(Debug)]
pub struct Packed {
    /// The package.
    pub bytes: Vec<u8>,
    /// How it will run.
    pub path: Path,
    /// For narrow weights, how far its answers are from those of 32-bit floats.
    pub deviation: Option<Deviation>,
}

/// How a model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// From its package, by a plan.
    Plan {
        /// How many steps it has.
        steps: usize,
        /// How many packed matrices.
        matrices: usize,
        /// How many bytes they take.
        panel_bytes: usize,
    },
    /// By tract, which reads the ONNX file in the package when the model is loaded.
    Tract {
        /// The operator for which plans have no step.
        because: String,
    },
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan { steps, matrices, panel_bytes } => write!(
                f,
                "from the package: {steps} steps, {matrices} packed matrices of {panel_bytes} bytes"
            ),
            Self::Tract { because } => {
                write!(f, "by tract, from the ONNX file in the package: {because}")
            }
        }
    }
}

/// Why a file was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is no model that can be run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The package would not be accepted.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The weights do not pack.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The plan does not archive.
    #[error("could not write the plan: {detail}")]
    Plan {
        /// What is wrong.
        detail: String,
    },
    /// Narrow weights change the answers by more than is accepted.
    #[error(
        "expected answers within {limit} of those with f32 weights, relative to the largest of \
         them, found {found}: pack it with wider weights"
    )]
    Deviates {
        /// The most that is accepted.
        limit: f64,
        /// What was measured.
        found: f64,
    },
    /// The model does not answer the inputs by which narrow weights are measured.
    #[error("could not measure what the weights change: {0}")]
    Measure(#[from] InferError),
    /// There is no memory to measure in.
    #[error("could not get memory to measure weights in: {0}")]
    Memory(#[from] std::io::Error),
    /// A rank that no change can have.
    #[error("expected a rank from 1 to {most}, found {found}")]
    Rank {
        /// The most.
        most: usize,
        /// What was asked for.
        found: usize,
    },
    /// Changes are of plans alone.
    #[error(
        "expected a model with a plan over a base, found one that tract runs ({because}): pack it \
         whole"
    )]
    NoPlanOver {
        /// The operator for which plans have no step.
        because: String,
    },
    /// The model is not the base with other weights.
    #[error(
        "expected the base's model with other weights, found that {difference}: name the base that \
         it was tuned from, or pack it whole"
    )]
    OtherPlan {
        /// The first difference.
        difference: String,
    },
    /// Changes of this rank do not give the model's answers.
    #[error(
        "expected answers within {limit} of the fine-tuned model's, relative to the largest of \
         them, found {found}: pack it with a larger rank, or whole"
    )]
    DeviatesFromTuned {
        /// The most that is accepted.
        limit: f64,
        /// What was measured.
        found: f64,
    },
    /// Narrow weights are for plans alone.
    #[error(
        "expected a model with a plan for weights other than f32, found one that tract runs \
         ({because}): pack it with f32 weights"
    )]
    NoNarrowWeights {
        /// The operator for which plans have no step.
        because: String,
    },
}

/// Makes a package of an ONNX file.
///
/// # Errors
/// [`PackError`]: a file that tract cannot read is no model here, whatever runs it.
pub fn pack(onnx: &[u8], options: &Pack) -> Result<Packed, PackError> {
    let typed = Typed::read(onnx)?;
    let header = header(onnx, &typed, options);
    let lowered = typed
        .simplified()
        .map_err(|error| error.to_string())
        .and_then(|graph| lower(&graph).map_err(|because| because.to_string()));
    match lowered {
        Ok(lowered) if options.weights == WeightKind::F32 => {
            planned(onnx, header, &lowered, options, WeightKind::F32)
        }
        Ok(lowered) => {
            let wide = planned(onnx, header.clone(), &lowered, options, WeightKind::F32)?;
            let narrow = planned(onnx, header, &lowered, options, options.weights)?;
            let backend = CpuBackend::default();
            let load = |bytes: &[u8]| -> Result<_, PackError> {
                Ok(backend.load(&Mapped::copied(bytes)?)?)
            };
            let deviation = measure::deviation(&*load(&wide.bytes)?, &*load(&narrow.bytes)?)?;
            // Not a number is no smaller than the limit.
            if deviation.largest <= options.largest_deviation {
                return Ok(Packed { deviation: Some(deviation), ..narrow });
            }
            let (limit, found) = (options.largest_deviation, deviation.largest);
            Err(PackError::Deviates { limit, found })
        }
        Err(because) if options.weights == WeightKind::F32 => {
            let path = Path::Tract { because };
            let mut builder = PackageBuilder::new(header);
            builder.section(SectionKind::Source, "onnx", onnx.to_vec());
            builder.section(SectionKind::Notes, RUNS, path.to_string().into_bytes());
            Ok(Packed { bytes: builder.finish()?, path, deviation: None })
        }
        Err(because) => Err(PackError::NoNarrowWeights { because }),
    }
}

fn planned(
    onnx: &[u8],
    header: Header,
    lowered: &Lowered,
    options: &Pack,
    weights: WeightKind,
) -> Result<Packed, PackError> {
    let Lowered { plan, constants, matrices } = lowered;
    let mut plan = plan.clone();
    for row in &mut plan.matrices {
        row.element = weights;
    }
    let mut panels = vec![];
    for lanes in options.lanes.iter().filter(|_| !matrices.is_empty()) {
        let (mut bytes, mut offsets) = (vec![], vec![]);
        for (weights, row) in matrices.iter().zip(&plan.matrices) {
            let shape = PanelShape {
                inner: weights.inner,
                columns: weights.columns,
                has_bias: row.has_bias,
                element: element(row.element),
                lanes: *lanes,
            };
            offsets.push(bytes.len() as u64);
            shape.pack(&weights.numbers, weights.bias.as_deref(), &mut bytes)?;
        }
        let key = format!("lanes={lanes}");
        plan.layouts.push(Layout { lanes: *lanes as u32, key: key.clone(), offsets });
        panels.push((key, bytes));
    }
    let path = Path::Plan {
        steps: plan.steps.len(),
        matrices: plan.matrices.len(),
        panel_bytes: panels.iter().map(|(_, bytes)| bytes.len()).sum(),
    };
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan)
        .map_err(|error| PackError::Plan { detail: error.to_string() })?;
    let mut builder = PackageBuilder::new(header);
    builder.section(SectionKind::Plan, "", archive.into_vec());
    if !constants.is_empty() {
        builder.section(SectionKind::Constants, "", constants.clone());
    }
    for (key, bytes) in panels {
        builder.section(SectionKind::Panels, key, bytes);
    }
    if options.with_source {
        builder.section(SectionKind::Source, "onnx", onnx.to_vec());
    }
    builder.section(SectionKind::Notes, RUNS, path.to_string().into_bytes());
    Ok(Packed { bytes: builder.finish()?, path, deviation: None })
}

fn header(onnx: &[u8], typed: &Typed, options: &Pack) -> Header {
    let tensor = |spec: &TensorSpec| Tensor {
        name: spec.name.clone(),
        datatype: spec.datatype.as_str().to_owned(),
        shape: spec.shape.clone(),
        names: spec.names.iter().map(|name| name.clone().unwrap_or_default()).collect(),
    };
    Header {
        identity: options.identity.clone(),
        inputs: typed.signature.inputs.iter().map(tensor).collect(),
        outputs: typed.signature.outputs.iter().map(tensor).collect(),
        metadata: typed.signature.metadata.clone().into_iter().collect(),
        producer: concat!("bulkhead ", env!("CARGO_PKG_VERSION")).to_owned(),
        source: *Digest::of(onnx).as_bytes(),
        base: None,
        sections: vec![],
    }
}

const fn element(kind: WeightKind) -> Element {
    match kind {
        WeightKind::F32 => Element::F32,
        WeightKind::F16 => Element::F16,
        WeightKind::I8 => Element::I8,
    }
}
