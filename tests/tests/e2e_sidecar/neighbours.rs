//! Models and nodes of others.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use devstack::stack::Stack;
use passport::{Passport, SigningKey};
use reqwest::Client;
use serde_json::{Value, json};
use tenancy::{Tier, headers};
use tests::e2e::{
    caller::Caller,
    example::{Example, INFER},
    tenant::Tenant,
};

pub async fn no_name_version_or_field_reaches_a_neighbours_model(
    stack: &Stack,
    example: &Example,
) -> Result<()> {
    let request = example.request();
    for tenant in ["org_ua", "org_aa", "org_dl"] {
        let client = Tenant::of(stack, tenant)?;
        let unknown = client.post("/v2/models/no-such-model/infer", request).await?;
        unknown.denied(404, "unknown_model")?;
        for path in strange_paths() {
            let answer = client.post(&path, request).await?;
            answer.denied(404, "unknown_model").with_context(|| format!("{tenant}: {path}"))?;
            // What there is for others looks like what there is not at all.
            ensure!(answer.body == unknown.body, "{path}: {}", answer.shown());
            let metadata = path.trim_end_matches("/infer");
            client.get(metadata).await?.denied(404, "unknown_model")?;
        }
        for (name, value) in [
            ("model_name", json!("air-time-ev")),
            ("model_version", json!("2")),
            ("tenant", json!("org_ev")),
            ("parameters", json!({ "tenant": "org_ev", "model": "air-time-ev", "version": "2" })),
        ] {
            let mut request = request.clone();
            request[name] = value;
            let answer = client.post(INFER, &request).await?;
            example.check(tenant, 1, &answer.ok()?.json()?).with_context(|| name)?;
        }
    }
    Ok(())
}

/// Names and versions of the registry, which no client calls by them, as a path may spell them.
fn strange_paths() -> Vec<String> {
    let mut paths: Vec<String> = ["air-time-ev", "air-time-pooled", "air-time-ua", "AIR-TIME"]
        .iter()
        .flat_map(|model| {
            [format!("/v2/models/{model}/infer"), format!("/v2/models/{model}/versions/1/infer")]
        })
        .collect();
    let versions = ["2", "0", "01", "latest", "air-time-ev", "-1"];
    paths.extend(versions.map(|version| format!("/v2/models/air-time/versions/{version}/infer")));
    // Envoy gives a path its one spelling before anybody decides by it.
    paths.push("/v2/models/air-time/../air-time-ev/infer".to_owned());
    paths.push("/v2/models/air-time/%2e%2e/air-time-ev/infer".to_owned());
    paths
}

/// Asked past every proxy, at the sidecar's own socket, with passports that are well signed: they
/// are what a gate of the same deployment could have minted.
pub async fn a_silos_sidecar_answers_its_own_tenant_alone(
    stack: &Stack,
    example: &Example,
) -> Result<()> {
    let key = std::fs::read(stack.state_dir().join("xds-server/passport.key"))?;
    let ours = SigningKey::from_bytes(&key)?;
    let forged = SigningKey::generate();
    let silo = stack.plane("silo-dl")?.sidecar_socket();
    let shared = stack.plane("shared")?.sidecar_socket();
    let dl = || passport("org_dl", Tier::Silo, "silo-dl");
    let ua_here = || passport("org_ua", Tier::Pool, "shared");
    let ua_there = || passport("org_ua", Tier::Silo, "silo-dl");

    for (socket, what, passport, expected) in [
        (silo, "nobody", None, (403, "passport_missing")),
        (silo, "dl, forged", Some(minted(&forged, &dl()?)?), (403, "passport_invalid")),
        (silo, "ua", Some(minted(&ours, &ua_here()?)?), (403, "wrong_data_plane")),
        (silo, "ua as a silo", Some(minted(&ours, &ua_there()?)?), (404, "unknown_model")),
        (silo, "dl", Some(minted(&ours, &dl()?)?), (200, "")),
        (shared, "dl", Some(minted(&ours, &dl()?)?), (403, "wrong_data_plane")),
        (shared, "ua", Some(minted(&ours, &ua_here()?)?), (200, "")),
    ] {
        let client = Client::builder().unix_socket(socket).tls_certs_only([]).build()?;
        let mut asked = client.post(format!("http://sidecar{INFER}")).json(example.request());
        if let Some(passport) = passport {
            asked = asked.header(headers::PASSPORT, passport);
        }
        let answer = asked.send().await?;
        let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await?);
        let found = (status, body["code"].as_str().unwrap_or_default());
        ensure!(found == expected, "{what} at {}: {body}", socket.display());
    }

    // And at the silo's own proxy: its recheck says the same without asking the sidecar.
    let node = Caller::new(&stack.plane("silo-dl")?.node_url())?;
    let asked = node.request(reqwest::Method::POST, INFER, None).json(example.request());
    let passport = minted(&ours, &ua_here()?)?;
    let answer = node.send(asked.header(headers::PASSPORT, passport)).await?;
    answer.denied(403, "wrong_data_plane").map(drop)
}

fn passport(tenant: &str, tier: Tier, data_plane: &str) -> Result<Passport> {
    Ok(Passport {
        tenant: tenant.parse()?,
        tier,
        data_plane: data_plane.parse()?,
        revision: "of-a-test".to_owned(),
    })
}

fn minted(key: &SigningKey, passport: &Passport) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(key.mint(passport, now, 60)?)
}
