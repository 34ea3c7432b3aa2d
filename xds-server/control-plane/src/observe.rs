//! What an operator wants to see of decisions, and where it goes.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use envoy_types::pb::google::protobuf::value::Kind;
use policy_model::table::ObserveRow;
use thiserror::Error;
use tonic::Status;
use xds::Node;

/// What is shown of decisions. The same at every proxy, so that one revision is one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observe {
    /// Answers carry the revision and the deciding check in headers.
    pub response_headers: bool,
    /// Every Envoy writes an access log in JSON, with tenant, revision, check and code.
    pub access_log: bool,
}

impl Observe {
    /// As the tables say it.
    pub(crate) fn row(self) -> ObserveRow {
        ObserveRow { response_headers: self.response_headers, access_log: self.access_log }
    }
}

/// A word that names nothing that can be observed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `response-headers` or `access-log`, or both with a comma between, found `{0}`")]
pub struct UnknownObservation(String);

impl FromStr for Observe {
    type Err = UnknownObservation;

    fn from_str(text: &str) -> Result<Self, UnknownObservation> {
        let mut observe = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "response-headers" => observe.response_headers = true,
                "access-log" => observe.access_log = true,
                other => return Err(UnknownObservation(other.to_owned())),
            }
        }
        Ok(observe)
    }
}

/// Where an Envoy writes its access log.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogTo {
    /// Its standard output.
    #[default]
    Stdout,
    /// A file, which Envoy reopens on SIGUSR1.
    File(PathBuf),
}

impl LogTo {
    /// Reads it from a node's metadata: `access_log`, which is `stdout` or an absolute path.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, saying what was found instead.
    pub fn of(node: &Node) -> Result<Self, Status> {
        let value = node.metadata.as_ref().and_then(|it| it.fields.get("access_log"));
        match value.and_then(|value| value.kind.as_ref()) {
            None => Ok(Self::Stdout),
            Some(Kind::StringValue(text)) if text.is_empty() || text == "stdout" => {
                Ok(Self::Stdout)
            }
            Some(Kind::StringValue(path)) if Path::new(path).is_absolute() => {
                Ok(Self::File(PathBuf::from(path)))
            }
            other => Err(Status::invalid_argument(format!(
                "node `{}`: expected metadata.access_log to be `stdout` or an absolute path, found \
                 {other:?}; mend its bootstrap",
                node.id
            ))),
        }
    }
}

/// Empty for the default, so that it can follow a group's name.
impl fmt::Display for LogTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => Ok(()),
            Self::File(path) => write!(f, ">{}", path.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use envoy_types::pb::google::protobuf::{Struct, Value};

    use super::*;

    fn node(access_log: &str) -> Node {
        let value = Value { kind: Some(Kind::StringValue(access_log.to_owned())) };
        let metadata = Struct { fields: [("access_log".to_owned(), value)].into() };
        Node { id: "n1".to_owned(), metadata: Some(metadata), ..Node::default() }
    }

    #[test]
    fn what_is_observed_is_a_list_of_known_words() {
        let both = Observe { response_headers: true, access_log: true };
        assert_eq!("response-headers, access-log".parse(), Ok(both));
        assert_eq!("".parse(), Ok(Observe::default()));
        let error = "access-logs".parse::<Observe>().unwrap_err().to_string();
        assert!(error.contains("found `access-logs`"), "{error}");
    }

    #[test]
    fn an_envoy_that_does_not_say_where_logs_to_its_output() {
        assert_eq!(LogTo::of(&Node::default()).unwrap(), LogTo::Stdout);
        assert_eq!(LogTo::of(&node("stdout")).unwrap(), LogTo::Stdout);
        let file = LogTo::of(&node("/var/log/access.json")).unwrap();
        assert_eq!(file.to_string(), ">/var/log/access.json");
        let refusal = LogTo::of(&node("access.json")).unwrap_err();
        assert!(refusal.message().contains("absolute path"), "{refusal}");
    }
}
