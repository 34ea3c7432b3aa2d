//! A message in a body, and an answer with its trailers.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use tenancy::problem::Problem;

use crate::answer::{self, Answer, AnswerBody, Refusal};

pub(super) const CONTENT_TYPE: &str = "application/grpc";
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Before each message: whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;

/// The one message of `body`. What it holds of bytes is shared with the body.
pub(crate) fn message<M: Message + Default>(body: Bytes) -> Result<M, Refusal> {
    let refused = |detail: String| Refusal::new(Problem::InvalidRequest, detail);
    let (prefix, rest) = body
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or_else(|| refused(format!("expected a message, found {} bytes", body.len())))?;
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return Err(refused("expected a message that is not compressed, found one".to_owned()));
    }
    let length = u64::from(u32::from_be_bytes(length));
    if rest.len() as u64 != length {
        return Err(refused(format!(
            "expected one message of {length} bytes, as its prefix says, found {}",
            rest.len()
        )));
    }
    M::decode(body.slice(PREFIX_BYTES..))
        .map_err(|error| refused(format!("the message cannot be read: {error}")))
}

/// A message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Result<Bytes, Refusal> {
    let length = message.encoded_len();
    let too_long = || Refusal::new(Problem::Internal, "expected an answer below 4 GiB");
    let prefix = u32::try_from(length).map_err(|_| too_long())?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(prefix);
    message.encode(&mut bytes).map_err(|_| too_long())?;
    Ok(bytes.freeze())
}

/// An answer that is a framed message and the status OK.
pub(crate) fn ok(framed: Bytes) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    answer::typed(AnswerBody::with_trailers(framed, trailers), CONTENT_TYPE)
}

/// An answer that is `message`.
pub(crate) fn reply(message: &impl Message) -> Result<Answer, Refusal> {
    framed(message).map(ok)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::grpc::messages::{ModelInferRequest, ModelRequest};

    #[test]
    fn a_message_reads_as_it_was_framed() {
        let sent = ModelRequest { name: "m".to_owned(), version: "1".to_owned() };
        assert_eq!(message(framed(&sent).unwrap()), Ok(sent));
    }

    #[test]
    fn a_body_that_is_not_exactly_one_plain_message_is_refused() {
        let whole = framed(&ModelRequest { name: "m".to_owned(), version: String::new() }).unwrap();
        let mut compressed = whole.to_vec();
        compressed[0] = 1;
        let twice = [&whole[..], &whole[..]].concat();
        for body in [&[][..], &whole[..4], &whole[..6], &compressed, &twice, &[0, 0, 0, 0, 1, 9]] {
            let refused = message::<ModelRequest>(Bytes::copy_from_slice(body)).unwrap_err();
            assert_eq!(refused.problem, Problem::InvalidRequest, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            let prefix = (bytes.len() as u32).to_be_bytes();
            let body = [&[0][..], &prefix, &bytes].concat();
            if let Ok(request) = message::<ModelInferRequest>(body.into()) {
                let _ = request.into_request();
            }
        }
    }
}
