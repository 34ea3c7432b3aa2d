//! Panels as shaders read them.

use inference::plan::ArchivedPlan;
use kernels::{Element, PanelShape};

use crate::Unsupported;

/// How a matrix is packed: see [`PanelShape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Packing {
    pub(crate) element: Element,
    pub(crate) lanes: u32,
    pub(crate) has_bias: bool,
}

impl Packing {
    /// Whether panels of so many columns are read.
    pub(crate) const fn reads(lanes: usize) -> bool {
        matches!(lanes, 4 | 8 | 16 | 32 | 64)
    }

    /// The shape of a matrix, in panels of so many columns.
    pub(crate) fn of(
        plan: &ArchivedPlan,
        matrix: u32,
        lanes: usize,
    ) -> Result<(Self, PanelShape), Unsupported> {
        let none = Unsupported::new("a matrix that there is not");
        let shape = plan.matrices.get(matrix as usize).ok_or(none)?.shape(lanes);
        if !Self::reads(lanes) {
            return Err(Unsupported::new("panels that are not of 4, 8, 16, 32 or 64 columns"));
        }
        let lanes = lanes as u32;
        Ok((Self { element: shape.element, lanes, has_bias: shape.has_bias }, shape))
    }

    /// How many words of weights are read at a time: those of 4 columns.
    pub(crate) const fn together(self) -> u32 {
        match self.element {
            Element::F32 => 4,
            Element::F16 => 2,
            Element::I8 => 1,
        }
    }

    /// `fn weights(panel: u32, at: u32) -> vec4<f32>`, four numbers of the panel that starts at this
    /// word, from the one of this index on, a multiple of 4, before they are scaled; and
    /// `fn scaled(sum: vec4<f32>, panel: u32, inner: u32, lane: u32) -> vec4<f32>`, sums over
    /// `inner` of them for the four columns from `lane` on, scaled and with the bias.
    pub(crate) fn text(self) -> String {
        let Self { element, lanes, has_bias } = self;
        let head = 2 * lanes;
        let weights = match element {
            Element::F32 => "return bitcast<vec4<f32>>(fixed[(panel + at) >> 2u]);".to_owned(),
            Element::F16 => format!(
                "let words = fixed[(panel + {head}u + (at >> 1u)) >> 1u];
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));"
            ),
            Element::I8 => {
                format!("return vec4<f32>(unpack4xI8(fixed[panel + {head}u + (at >> 2u)]));")
            }
        };
        let numbers = match element {
            Element::F32 => "return bitcast<vec4<f32>>(fixed[word >> 2u]);",
            Element::F16 => {
                "return bitcast<vec4<f32>>(vec4<u32>(fixed[word >> 1u], fixed[(word >> 1u) + 1u]));"
            }
            Element::I8 => {
                "return bitcast<vec4<f32>>(vec4<u32>(fixed[word], fixed[word + 1u], fixed[word + 2u], fixed[word + 3u]));"
            }
        };
        let scaled = match (element, has_bias) {
            (Element::F32, false) => "sum".to_owned(),
            (Element::F32, true) => format!("sum + numbers(panel + inner * {lanes}u + lane)"),
            (_, false) => "sum * numbers(panel + lane)".to_owned(),
            (_, true) => {
                format!("sum * numbers(panel + lane) + numbers(panel + {lanes}u + lane)")
            }
        };
        format!(
            "fn weights(panel: u32, at: u32) -> vec4<f32> {{
    {weights}
}}
fn numbers(word: u32) -> vec4<f32> {{
    {numbers}
}}
fn scaled(sum: vec4<f32>, panel: u32, inner: u32, lane: u32) -> vec4<f32> {{
    return {scaled};
}}
"
        )
    }
}
