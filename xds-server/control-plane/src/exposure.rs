//! Who can reach the interfaces, and who may: nothing listens beyond this machine without knowing
//! who calls, and no token crosses a network in clear.

use std::{net::SocketAddr, path::PathBuf};

/// Who may use the HTTP interface, and how it is reached. Without anything, everybody on this
/// machine may do everything, and nobody else reaches it: that is for development.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The file of operators (see [`crate::operators`]).
    pub operators: Option<PathBuf>,
    /// The certificate for HTTPS.
    pub tls: Option<TlsFiles>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM, the server's first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why the control plane does not start listening.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposureError {
    /// xDS knows no callers.
    #[error(
        "expected --grpc to be a loopback address, found {found}: xDS does not authenticate its \
         callers; put a proxy that does (mTLS) in front of it"
    )]
    Grpc {
        /// The address.
        found: SocketAddr,
    },
    /// Beyond this machine, and nobody is known.
    #[error(
        "expected --http to be a loopback address, found {found}, without operators: whoever \
         reached it would be an admin; name them with --operators (`bulkhead operator token` makes \
         an entry), and give --http-tls-cert and --http-tls-key"
    )]
    Operators {
        /// The address.
        found: SocketAddr,
    },
    /// Beyond this machine, and in clear.
    #[error(
        "expected --http-tls-cert and --http-tls-key for --http {found}, found neither: operators' \
         tokens would cross the network in clear"
    )]
    Tls {
        /// The address.
        found: SocketAddr,
    },
}

/// Refuses addresses at which somebody could do what they may not.
pub(crate) fn check(
    grpc: SocketAddr,
    http: SocketAddr,
    access: &Access,
) -> Result<(), ExposureError> {
    if !grpc.ip().is_loopback() {
        return Err(ExposureError::Grpc { found: grpc });
    }
    if http.ip().is_loopback() {
        return Ok(());
    }
    if access.operators.is_none() {
        return Err(ExposureError::Operators { found: http });
    }
    if access.tls.is_none() {
        return Err(ExposureError::Tls { found: http });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| ([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn beyond_loopback_nothing_listens_without_operators_and_tls() {
        let operators = Some(PathBuf::from("operators.yaml"));
        let tls = Some(TlsFiles { certificate: "a.pem".into(), key: "b.pem".into() });
        let here = at("127.0.0.1:1");
        for (http, refused) in [
            (at("0.0.0.0:1"), true),
            (at("10.0.0.1:1"), true),
            (at("[::]:1"), true),
            (at("[::ffff:127.0.0.1]:1"), true),
            (at("[::1]:1"), false),
            (here, false),
        ] {
            for (operators, tls) in [(None, None), (operators.clone(), None), (None, tls.clone())] {
                let access = Access { operators, tls };
                assert_eq!(check(here, http, &access).is_err(), refused, "{http} {access:?}");
            }
            let access = Access { operators: operators.clone(), tls: tls.clone() };
            assert_eq!(check(here, http, &access), Ok(()), "{http}");
        }
        let access = Access { operators, tls };
        assert!(matches!(check(at("0.0.0.0:1"), here, &access), Err(ExposureError::Grpc { .. })));
    }
}
