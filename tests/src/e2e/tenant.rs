//! A tenant's client of a whole stack, with a real token of its own identity provider.

use anyhow::{Context as _, Result};
use devstack::{dev_issuer::TokenOptions, stack::Stack};
use serde_json::Value;

use super::{
    caller::{Answer, Caller},
    example::{Example, INFER},
};

/// A client with a token of an hour.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The org.
    pub id: String,
    /// The token.
    pub token: String,
    caller: Caller,
}

impl Tenant {
    /// A client of the stack's ingress.
    ///
    /// # Errors
    /// Where the stack's issuer does not speak for `id`.
    pub fn of(stack: &Stack, id: &str) -> Result<Self> {
        let options = TokenOptions { expires_in: 3600, ..TokenOptions::default() };
        Ok(Self {
            token: stack.issuer().token(id, &options)?,
            caller: Caller::new(&stack.ingress_url())?,
            id: id.to_owned(),
        })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.caller.get(path, Some(&self.token)).await
    }

    /// `POST path`.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.caller.post(path, Some(&self.token), body).await
    }

    /// The example's request for `rows` flights; fails where it is not answered, or with other
    /// minutes than are documented.
    ///
    /// # Errors
    /// With the answer.
    pub async fn predict(&self, example: &Example, rows: usize) -> Result<Answer> {
        let answer = self.post(INFER, &example.rows(rows)).await?;
        answer.ok().with_context(|| self.id.clone())?;
        example.check(&self.id, rows, &answer.json()?)?;
        Ok(answer)
    }
}
