//! From a file's text to a scenario, with the place of every mistake.

use std::{collections::BTreeMap, path::Path};

use jiff::{SignedDuration, Timestamp};
use policy_model::diagnostic::{Diagnostic, Diagnostics, Origin, Severity};
use serde::{Deserialize, de::DeserializeOwned};
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter, Spanned};

use super::{
    Ask, Expectation, Outcome, PassportSpec, Promotion, Request, Scenario, Step, Target, Time,
    TokenSpec, Way,
    changes::{self, Item},
    expectation::ExpectationSpec,
};

/// The longest that a scenario waits over Envoy, whose clock nobody sets.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(3);

/// The most repetitions of one request.
const MAX_REPEAT: usize = 10_000;

/// The largest body, in bytes.
const MAX_BODY_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    promise: String,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    guards: Vec<u8>,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    skip: BTreeMap<Way, String>,
    #[serde(default)]
    given: Vec<Item>,
    requests: Vec<Spanned<StepSpec>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepSpec {
    #[serde(default)]
    apply: Vec<Item>,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    after: Option<SignedDuration>,
    #[serde(default)]
    again: bool,
    #[serde(default)]
    promote: Option<Promotion>,
    #[serde(default)]
    to: Option<Target>,
    #[serde(default)]
    token: Option<TokenSpec>,
    #[serde(default)]
    passport: Option<PassportSpec>,
    #[serde(default)]
    headers: Option<Vec<(String, String)>>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    body_bytes: Option<u64>,
    #[serde(default)]
    chunked: Option<bool>,
    #[serde(default)]
    repeat: Option<usize>,
    expect: Spanned<ExpectationSpec>,
}

/// A request alone, in the words of a scenario's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestSpec {
    #[serde(default)]
    to: Target,
    #[serde(default)]
    token: Option<TokenSpec>,
    #[serde(default)]
    passport: Option<PassportSpec>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    body_bytes: Option<u64>,
    #[serde(default)]
    chunked: bool,
}

impl Request {
    /// The request that `text` holds, which is what `file` does, in the words of a scenario's.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Diagnostics> {
        let reader = Reader { file: file.display().to_string(), text };
        let spec: RequestSpec = reader.read().map_err(|mistake| Diagnostics(vec![mistake]))?;
        Ok(Self {
            to: spec.to,
            token: spec.token,
            passport: spec.passport,
            headers: spec.headers,
            method: spec.method,
            path: spec.path,
            host: spec.host,
            body_bytes: spec.body_bytes,
            chunked: spec.chunked,
        })
    }
}

impl Scenario {
    /// Reads the scenario in `file`.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(file: &Path) -> Result<Self, Diagnostics> {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            Diagnostics(vec![diagnostic(&shown, 0, 0, format!("could not be read: {error}"))])
        })?;
        Self::parse(file, &text)
    }

    /// The scenario that `text` holds, which is what `file` does or will.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Diagnostics> {
        let reader = Reader { file: file.display().to_string(), text };
        let document = reader.read().map_err(|mistake| Diagnostics(vec![mistake]))?;
        reader.scenario(file, document)
    }
}

struct Reader<'a> {
    file: String,
    text: &'a str,
}

impl Reader<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let (line, column) =
                error.location().map_or((0, 0), |place| (place.line(), place.column()));
            let message = match error.without_snippet() {
                serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
                    format!("expected each field once, found `{key}` again; remove one").into()
                }
                other => DefaultMessageFormatter.format_message(other),
            };
            diagnostic(&self.file, line, column, message.escape_debug().to_string())
        })
    }

    fn scenario(&self, file: &Path, document: Document) -> Result<Scenario, Diagnostics> {
        let mut mistakes = Vec::new();
        let given = changes::read(&self.file, self.text, &document.given, &mut mistakes);
        let mut requests = Vec::new();
        for (at, step) in document.requests.into_iter().enumerate() {
            let line = step.referenced.line();
            match self.step(step, at == 0, &mut mistakes) {
                Ok(step) => requests.push(step),
                Err(message) => mistakes.push(diagnostic(&self.file, line, 0, message)),
            }
        }
        let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name = name.trim_end_matches(".yaml").trim_end_matches(".scenario");
        let scenario = Scenario {
            name: name.to_owned(),
            file: file.to_owned(),
            text: self.text.to_owned(),
            promise: document.promise,
            why: document.why,
            guards: document.guards,
            at: document.at,
            skip: document.skip,
            given,
            requests,
        };
        mistakes.extend(self.as_a_whole(&scenario));
        if mistakes.is_empty() { Ok(scenario) } else { Err(Diagnostics(mistakes)) }
    }

    fn as_a_whole(&self, scenario: &Scenario) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        let mut mistake = |message: &str| {
            mistakes.push(diagnostic(&self.file, 0, 0, message.to_owned()));
        };
        if scenario.promise.trim().is_empty() {
            mistake("expected a promise, in one sentence");
        }
        if scenario.requests.is_empty() {
            mistake("expected at least one request, found none: nothing would be shown");
        }
        if scenario.skip.values().any(|why| why.trim().is_empty()) {
            mistake("expected a reason beside each way under `skip`");
        }
        if scenario.skip.contains_key(&Way::Native) {
            mistake("expected `skip` to name `wasm` or `envoy`: the native run is the cheapest");
        }
        if scenario.sets_time() && !scenario.skip.contains_key(&Way::Envoy) {
            mistake(
                "it sets the time, or waits for more than 3 s, and nobody sets Envoy's clock: \
                 say `skip: { envoy: <why> }`, or say it with the token's times",
            );
        }
        mistakes
    }

    fn step(
        &self,
        step: Spanned<StepSpec>,
        is_first: bool,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Step, String> {
        let line = step.referenced.line();
        let spec = step.value;
        let apply = changes::read(&self.file, self.text, &spec.apply, mistakes);
        let expect_at = (spec.expect.referenced.line(), spec.expect.referenced.column());
        let (time, repeat, ask) = (spec.time()?, spec.repeat()?, spec.ask(is_first)?);
        let expect: Expectation = spec.expect.value.try_into()?;
        let is_promotion = matches!(ask, Ask::Promote(_));
        if is_promotion != matches!(expect.outcome, Outcome::Promoted | Outcome::Refused(_)) {
            return Err(
                "expected `promoted` or `refused` of a promotion, and of a request neither"
                    .to_owned(),
            );
        }
        Ok(Step { line, expect_at, apply, time, ask, repeat, expect })
    }
}

impl StepSpec {
    fn time(&self) -> Result<Time, String> {
        match (self.at, self.after) {
            (None, None) => Ok(Time::Now),
            (Some(at), None) => Ok(Time::At(at)),
            (None, Some(after)) if after.is_positive() => Ok(Time::After(after)),
            (None, Some(after)) => Err(format!("expected `after` to lie ahead, found {after:#}")),
            (Some(_), Some(_)) => Err("expected `at` or `after`, found both".to_owned()),
        }
    }

    fn repeat(&self) -> Result<usize, String> {
        match self.repeat {
            None => Ok(1),
            Some(times) if (1..=MAX_REPEAT).contains(&times) => Ok(times),
            Some(times) => Err(format!("expected `repeat` of 1 to {MAX_REPEAT}, found {times}")),
        }
    }

    fn ask(&self, is_first: bool) -> Result<Ask, String> {
        let says_more = self.to.is_some()
            || self.token.is_some()
            || self.passport.is_some()
            || self.headers.is_some()
            || self.method.is_some()
            || self.path.is_some()
            || self.host.is_some()
            || self.body_bytes.is_some()
            || self.chunked.is_some();
        if let Some(promotion) = &self.promote {
            return match says_more || self.again || self.repeat.is_some() {
                false => Ok(Ask::Promote(promotion.clone())),
                true => Err("expected `promote` alone, as it is no request".to_owned()),
            };
        }
        if self.again {
            return match (is_first, says_more) {
                (false, false) => Ok(Ask::Again),
                (true, _) => Err("expected a request before the one that is sent again".to_owned()),
                (false, true) => {
                    Err("expected `again: true` alone, as it is the request before it".to_owned())
                }
            };
        }
        if self.body_bytes.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
            return Err(format!("expected `body_bytes` of at most {MAX_BODY_BYTES}"));
        }
        Ok(Ask::Send(Box::new(Request {
            to: self.to.clone().unwrap_or_default(),
            token: self.token.clone(),
            passport: self.passport.clone(),
            headers: self.headers.clone().unwrap_or_default(),
            method: self.method.clone(),
            path: self.path.clone(),
            host: self.host.clone(),
            body_bytes: self.body_bytes,
            chunked: self.chunked.unwrap_or_default(),
        })))
    }
}

impl Scenario {
    /// Whether it needs a clock that can be set.
    fn sets_time(&self) -> bool {
        self.at.is_some()
            || self.requests.iter().any(|step| match step.time {
                Time::Now => false,
                Time::After(after) => after > LONGEST_WAIT,
                Time::At(_) => true,
            })
    }
}

pub(super) fn diagnostic(file: &str, line: u64, column: u64, message: String) -> Diagnostic {
    let origin = Origin { file: file.to_owned(), line, column };
    Diagnostic { severity: Severity::Error, origin, resource: String::new(), message, check: None }
}
