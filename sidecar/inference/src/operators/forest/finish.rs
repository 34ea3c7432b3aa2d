//! Sums into scores and labels.

/// What becomes of the sums of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finish {
    pub(super) base: Vec<f32>,
    pub(super) post: Post,
    /// For two classes of which the leaves add to one alone: how that one number is taken.
    pub(super) binary: Option<Binary>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Post {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

/// Two classes with one number between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binary {
    /// Which class the leaves add to.
    pub(super) class: usize,
    /// Whether no leaf adds a negative number: then it is a probability, and not a margin.
    pub(super) is_probability: bool,
}

impl Finish {
    /// The scores of a row in place of its sums, and the index of its label.
    pub(super) fn row(&self, row: &mut [f32]) -> usize {
        if let Some(Binary { class, is_probability }) = self.binary {
            return self.binary_row(class, is_probability, row);
        }
        row.iter_mut().zip(&self.base).for_each(|(score, base)| *score += base);
        let mut label = 0;
        let mut best = f32::NEG_INFINITY;
        for (at, score) in row.iter().enumerate() {
            if *score > best {
                (label, best) = (at, *score);
            }
        }
        self.post.apply(row);
        label
    }

    /// As onnxruntime has it: what ONNX says of this case can be read in several ways.
    fn binary_row(&self, class: usize, is_probability: bool, row: &mut [f32]) -> usize {
        let [first, second] = row else { return 0 };
        let threshold = if is_probability { 0.5 } else { 0.0 };
        if class == 1 {
            let label = usize::from(*second > threshold);
            self.post.apply(row);
            return label;
        }
        let margin = *first + self.base.first().copied().unwrap_or(0.0);
        let label = usize::from(margin > threshold);
        if self.base.len() == 2 {
            (*first, *second) = (margin, 0.0);
            self.post.apply(row);
            return label;
        }
        let score = match self.post {
            Post::Logistic => logistic(margin),
            Post::Probit => probit(margin),
            Post::None | Post::Softmax | Post::SoftmaxZero => margin,
        };
        let is_complement = is_probability || self.post == Post::Logistic;
        (*first, *second) = (if is_complement { 1.0 - score } else { -score }, score);
        label
    }
}

impl Post {
    fn apply(self, row: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => row.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Probit => row.iter_mut().for_each(|score| *score = probit(*score)),
            Self::Softmax | Self::SoftmaxZero => {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let keeps_zeros = self == Self::SoftmaxZero;
                for score in row.iter_mut() {
                    *score = if keeps_zeros && score.abs() <= 1e-7 {
                        *score * (-largest).exp()
                    } else {
                        (*score - largest).exp()
                    };
                }
                let sum: f32 = row.iter().sum();
                if sum != 0.0 {
                    row.iter_mut().for_each(|score| *score /= sum);
                }
            }
        }
    }
}

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The quantile of the normal distribution, by Winitzki's approximation of the inverse error
/// function, which is the one that onnxruntime uses.
fn probit(x: f32) -> f32 {
    let x = 2.0 * x - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let inverse = x.signum() * (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * inverse
}
