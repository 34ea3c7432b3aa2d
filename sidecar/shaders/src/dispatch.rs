//! One thing that a device does.

use std::{ops::Range, sync::Arc};

use crate::{
    Unsupported,
    chain::Chain,
    lines::Lines,
    matmul::MatMul,
    moves::{Copy, Gather, Join, Windows},
    product::{Delta, Product},
};

/// The first words of the arena. A kernel that finds a fault in the data, an index beyond its table,
/// writes there and goes on; they are 0 before a run, and where the first is not 0 after it, the
/// answer is worth nothing. The words: 0 is 1 for an index beyond its table, 1 and 2 are the index, low
/// word first, 3 is the length of the table, 4 the batch row.
pub const FAULT_WORDS: u32 = 64;

/// Invocations in a workgroup of kernels that go from element to element.
pub(crate) const GROUP: u32 = 256;

/// For so many elements, how many workgroups of [`GROUP`] go over them, and how many elements those do
/// at once.
pub(crate) fn groups_in_line(count: usize, limits: &Limits) -> Result<[u32; 2], Unsupported> {
    limits.check(GROUP, 0)?;
    let wanted = count.div_ceil(GROUP as usize);
    let most = limits.workgroups_per_dimension.min(1 << 16);
    let groups = u32::try_from(wanted).unwrap_or(most).min(most);
    Ok([groups, groups * GROUP])
}

/// What a device may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// Invocations in a workgroup, along each dimension.
    pub workgroup_size: [u32; 3],
    /// Bytes of memory that a workgroup shares.
    pub workgroup_storage_bytes: u32,
    /// Workgroups along each dimension of a dispatch.
    pub workgroups_per_dimension: u32,
    /// Bytes of a binding.
    pub binding_bytes: u64,
    /// Invocations of a subgroup, of the largest where they differ.
    pub subgroup_size: u32,
    /// Whether kernels may use subgroups.
    pub subgroups: bool,
    /// Whether kernels may use 16-bit floats.
    pub f16: bool,
    /// The cooperative matrices by which products with 16-bit weights may be computed, in WGSL as naga
    /// has it (`wgpu_cooperative_matrix`); none where they may not. Those kernels round what they
    /// multiply to 16 bits, which passes 65,504 as infinite.
    pub cooperative_matrix: Option<CooperativeMatrix>,
}

/// Square matrices of 16-bit floats that a subgroup multiplies into one of 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CooperativeMatrix {
    /// Rows, and columns: 8 or 16.
    pub side: u32,
    /// Invocations of a subgroup, always so many: a power of 2 up to 64.
    pub subgroup: u32,
}

impl Limits {
    /// Whether workgroups may have so many invocations and share so many bytes.
    pub(crate) fn check(&self, invocations: u32, bytes: u32) -> Result<(), Unsupported> {
        let most = self.workgroup_invocations.min(self.workgroup_size[0]);
        if invocations > most || bytes > self.workgroup_storage_bytes {
            return Err(Unsupported::new("the device's workgroups are too small"));
        }
        Ok(())
    }
}

impl Default for Limits {
    /// What WebGPU has everywhere.
    fn default() -> Self {
        Self {
            workgroup_invocations: 256,
            workgroup_size: [256, 256, 64],
            workgroup_storage_bytes: 16 << 10,
            workgroups_per_dimension: 65_535,
            binding_bytes: 128 << 20,
            subgroup_size: 32,
            subgroups: false,
            f16: false,
            cooperative_matrix: None,
        }
    }
}

/// What a shader needs of a device beside what all have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// Subgroups.
    pub subgroups: bool,
    /// 16-bit floats.
    pub f16: bool,
    /// Cooperative matrices.
    pub cooperative_matrix: bool,
}

/// The key of a pipeline: what is done, without sizes. Cheap to clone and to compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shader(Arc<Kernel>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    Elementwise(Chain),
    Product(Product),
    Delta(Delta),
    MatMul(MatMul),
    Copy(Copy),
    Gather(Gather),
    Join(Join),
    Lines(Lines),
    Windows(Windows),
}

impl Shader {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self(Arc::new(kernel))
    }

    /// The entry point of every shader.
    pub const ENTRY_POINT: &'static str = "main";

    /// Its text. Made anew by each call: a pipeline is made once.
    ///
    /// Its bindings are those of group 0: 0 the arena, `var<storage, read_write>`; 1 the weights,
    /// `var<storage, read>`; 2 the parameters, `var<storage, read>`. All are arrays of words without
    /// a fixed length, the weights in some shaders of four words at a time. It uses all three or some.
    pub fn wgsl(&self) -> String {
        match &*self.0 {
            Kernel::Elementwise(chain) => chain.wgsl(),
            Kernel::Product(product) => product.wgsl(),
            Kernel::Delta(delta) => delta.wgsl(),
            Kernel::MatMul(product) => product.wgsl(),
            Kernel::Copy(copy) => copy.wgsl(),
            Kernel::Gather(gather) => gather.wgsl(),
            Kernel::Join(join) => join.wgsl(),
            Kernel::Lines(lines) => lines.wgsl(),
            Kernel::Windows(windows) => windows.wgsl(),
        }
    }

    /// What it needs of a device beside what all have.
    pub fn features(&self) -> Features {
        match &*self.0 {
            Kernel::Lines(lines) => lines.features(),
            Kernel::Product(product) => product.features(),
            _ => Features::default(),
        }
    }

    /// A short name, for traces.
    pub fn name(&self) -> String {
        match &*self.0 {
            Kernel::Elementwise(chain) => chain.name(),
            Kernel::Product(product) => product.name(),
            Kernel::Delta(delta) => delta.name(),
            Kernel::MatMul(product) => product.name(),
            Kernel::Copy(copy) => copy.name(),
            Kernel::Gather(gather) => gather.name(),
            Kernel::Join(join) => join.name(),
            Kernel::Lines(lines) => lines.name(),
            Kernel::Windows(windows) => windows.name(),
        }
    }
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// What is done.
    pub shader: Shader,
    /// What its third binding holds, from its first word on.
    pub params: Vec<u32>,
    /// How many workgroups there are; never 0.
    pub workgroups: [u32; 3],
    /// The words of the slab that its second binding is, from a multiple of 64 to one. The whole slab
    /// where [`Limits::binding_bytes`] let that be; empty, from 0, where it reads no weights.
    pub fixed: Range<u64>,
}
