//! The access log: one line of JSON a request, without token, passport or query.

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::{
        config::{
            accesslog::v3::{AccessLog, access_log::ConfigType},
            core::v3::{SubstitutionFormatString, substitution_format_string::Format},
        },
        extensions::access_loggers::{
            file::v3::{FileAccessLog, file_access_log},
            stream::v3::{StdoutAccessLog, stdout_access_log},
        },
    },
    google::protobuf::{Any, Struct, Value, value::Kind},
};
use prost::{Message as _, Name as _};
use tenancy::headers;

use crate::observe::LogTo;

/// What a line says, and how Envoy is asked for it. The filters tell the four that only they know
/// as properties, which Envoy keeps as filter state under `wasm.` and the property's path
/// (`Context::setProperty` in Envoy's `source/extensions/common/wasm/context.cc`). What was not
/// told is `null`.
///
/// <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage>
const FIELDS: [(&str, &str); 16] = [
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("check", "%FILTER_STATE(wasm.bulkhead.check:PLAIN)%"),
    ("code", "%FILTER_STATE(wasm.bulkhead.code:PLAIN)%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("duration_ms", "%DURATION%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("host", "%REQ(:AUTHORITY)%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%PATH(NQ:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("revision", "%FILTER_STATE(wasm.bulkhead.revision:PLAIN)%"),
    ("status", "%RESPONSE_CODE%"),
    ("tenant", "%FILTER_STATE(wasm.bulkhead.tenant:PLAIN)%"),
    ("time", "%START_TIME%"),
    ("upstream", "%UPSTREAM_CLUSTER%"),
];

/// The access log of the listener `name`.
pub(super) fn access_log(name: &str, to: &LogTo) -> AccessLog {
    let config = match to {
        LogTo::Stdout => merged(name, StdoutAccessLog::type_url(), |format| {
            let format = stdout_access_log::AccessLogFormat::LogFormat(format);
            StdoutAccessLog { access_log_format: Some(format) }.encode_to_vec()
        }),
        LogTo::File(path) => merged(name, FileAccessLog::type_url(), |format| {
            let format = file_access_log::AccessLogFormat::LogFormat(format);
            let path = path.to_string_lossy().into_owned();
            FileAccessLog { path, access_log_format: Some(format) }.encode_to_vec()
        }),
    };
    AccessLog {
        name: "bulkhead.access_log".to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..AccessLog::default()
    }
}

/// A message with all fields of the format, always in the same bytes: encodings that follow each
/// other are one message with both's entries (protobuf.dev, "Last One Wins"), whereas a map of all
/// entries has no order of its own, and so another version each time.
fn merged(
    listener: &str,
    type_url: String,
    of: impl Fn(SubstitutionFormatString) -> Vec<u8>,
) -> Any {
    let request_id = format!("%REQ({})%", headers::REQUEST_ID);
    let own = [("listener", listener), ("request_id", request_id.as_str())];
    let fields = FIELDS.iter().copied().chain(own);
    let value = fields.flat_map(|(name, command)| {
        let value = Value { kind: Some(Kind::StringValue(command.to_owned())) };
        let fields = HashMap::from([(name.to_owned(), value)]);
        of(SubstitutionFormatString {
            format: Some(Format::JsonFormat(Struct { fields })),
            ..SubstitutionFormatString::default()
        })
    });
    Any { type_url, value: value.collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn fields(log: &AccessLog) -> HashMap<String, Value> {
        let Some(ConfigType::TypedConfig(any)) = &log.config_type else { panic!("{log:?}") };
        let file = FileAccessLog::decode(any.value.as_slice()).unwrap();
        let Some(file_access_log::AccessLogFormat::LogFormat(format)) = file.access_log_format
        else {
            panic!("no format")
        };
        let Some(Format::JsonFormat(json)) = format.format else { panic!("no JSON") };
        json.fields
    }

    #[test]
    fn a_line_names_the_decision_and_no_secret() {
        let log = access_log("ingress", &LogTo::File("/var/log/access.json".into()));
        let fields = fields(&log);
        assert_eq!(fields.len(), FIELDS.len() + 2);
        for name in ["time", "tenant", "revision", "check", "code", "request_id"] {
            assert!(fields.contains_key(name), "{name} is missing");
        }
        let text = format!("{fields:?}").to_lowercase();
        for secret in ["authorization)", headers::PASSPORT, "cookie"] {
            let shown = text.replace(":authority)", "").contains(secret);
            assert!(!shown, "{secret} is in the log");
        }
    }

    #[test]
    fn the_same_log_is_the_same_bytes() {
        assert_eq!(access_log("node", &LogTo::Stdout), access_log("node", &LogTo::Stdout));
    }
}
