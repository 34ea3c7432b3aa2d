//! The example's held-out flights, as requests of the Open Inference Protocol v2.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};

/// A flight: its columns as the sample writes them.
type Flight = HashMap<String, String>;

/// The flights of each carrier.
#[derive(Debug)]
pub(crate) struct Flights {
    inputs: Vec<Input>,
    output: String,
    by_carrier: BTreeMap<String, Vec<Flight>>,
}

/// A request's body, and what really happened to the flights in it.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The body.
    pub(crate) body: Bytes,
    /// Minutes in the air, one for each flight.
    pub(crate) air_times: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Evaluation {
    signature: Signature,
}

#[derive(Debug, Deserialize)]
struct Signature {
    inputs: Vec<Input>,
    outputs: Vec<Input>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    datatype: String,
}

impl Flights {
    /// Reads the sample and the models' signature.
    pub(crate) fn read(example: &Path) -> Result<Self> {
        let evaluation: Evaluation = serde_json::from_slice(&read(&example.join("eval.json"))?)
            .context("expected the models' signature in eval.json")?;
        let Some(output) = evaluation.signature.outputs.into_iter().next() else {
            bail!("expected an output in the signature of eval.json, found none");
        };
        let sample = example.join("sample.csv.gz");
        let file =
            File::open(&sample).with_context(|| format!("could not read {}", sample.display()))?;
        let mut by_carrier: BTreeMap<String, Vec<Flight>> = BTreeMap::new();
        for flight in csv::Reader::from_reader(GzDecoder::new(file)).deserialize() {
            let flight: Flight = flight.with_context(|| format!("in {}", sample.display()))?;
            let carrier = flight.get("carrier").cloned().unwrap_or_default();
            by_carrier.entry(carrier).or_default().push(flight);
        }
        Ok(Self { inputs: evaluation.signature.inputs, output: output.name, by_carrier })
    }

    /// What the models call their answer.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// A carrier's flights as at most `limit` questions of the sizes `rows`, over and over; no
    /// flight is asked about twice.
    pub(crate) fn questions(
        &self,
        carrier: &str,
        rows: &[usize],
        limit: usize,
    ) -> Result<Vec<Question>> {
        let mut rest = self.by_carrier.get(carrier).map(Vec::as_slice).unwrap_or_default();
        let mut questions = Vec::new();
        for rows in rows.iter().cycle().take(limit) {
            if rest.is_empty() {
                break;
            }
            let (batch, left) = rest.split_at((*rows).clamp(1, rest.len()));
            questions.push(self.question(batch)?);
            rest = left;
        }
        Ok(questions)
    }

    fn question(&self, flights: &[Flight]) -> Result<Question> {
        let inputs: Vec<Value> =
            self.inputs.iter().map(|input| tensor(input, flights)).collect::<Result<_>>()?;
        let air_times = flights
            .iter()
            .map(|flight| Ok(cell(flight, "air_time")?.parse()?))
            .collect::<Result<_>>()?;
        Ok(Question { body: json!({ "inputs": inputs }).to_string().into(), air_times })
    }
}

fn tensor(input: &Input, flights: &[Flight]) -> Result<Value> {
    let data: Vec<Value> = flights
        .iter()
        .map(|flight| {
            let text = cell(flight, &input.name)?;
            Ok(match input.datatype.as_str() {
                "BYTES" => json!(text),
                "INT64" => json!(text.parse::<i64>()?),
                _ => json!(text.parse::<f64>()?),
            })
        })
        .collect::<Result<_>>()?;
    Ok(json!({
        "name": input.name,
        "datatype": input.datatype,
        "shape": [flights.len(), 1],
        "data": data,
    }))
}

fn cell<'a>(flight: &'a Flight, column: &str) -> Result<&'a str> {
    let cell = flight.get(column).map(String::as_str);
    cell.with_context(|| format!("expected a column `{column}` in the sample, found none"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("could not read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Flights {
        Flights::read(&devstack::environment::repository().join("examples/flights")).unwrap()
    }

    #[test]
    fn no_flight_is_asked_about_twice_and_none_is_left_out() {
        let flights = example();
        let whole = flights.by_carrier["HA"].len();
        let questions = flights.questions("HA", &[1, 1, 5], usize::MAX).unwrap();
        assert_eq!(questions.iter().map(|it| it.air_times.len()).sum::<usize>(), whole);
        assert_eq!(questions[2].air_times.len(), 5);
        assert_eq!(flights.questions("HA", &[1], 3).unwrap().len(), 3);
        assert!(flights.questions("no such carrier", &[1], 3).unwrap().is_empty());
    }

    #[test]
    fn a_question_gives_every_input_of_the_signature_a_value_for_each_flight() {
        let flights = example();
        let question = &flights.questions("UA", &[3], 1).unwrap()[0];
        let body: Value = serde_json::from_slice(&question.body).unwrap();
        let inputs = body["inputs"].as_array().unwrap();
        assert_eq!(inputs.len(), flights.inputs.len());
        for input in inputs {
            assert_eq!(input["data"].as_array().unwrap().len(), 3, "{input}");
        }
    }
}
