//! In which form each output of an answer over REST is asked for.

/// How an output's elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In `data`.
    Json,
    /// Behind the JSON: the parameter `binary_data`.
    Behind,
}

impl Form {
    pub(super) const fn binary(binary: bool) -> Self {
        if binary { Self::Behind } else { Self::Json }
    }
}

/// The form of every output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forms {
    /// Of the outputs that are asked for, in their order.
    pub(super) each: Vec<Form>,
    /// Of the others, where none is asked for: the parameter `binary_data_output`.
    pub(super) otherwise: Form,
}

impl Forms {
    pub(super) fn of(&self, output: usize) -> Form {
        self.each.get(output).copied().unwrap_or(self.otherwise)
    }
}
