//! Requests of the soak: good ones, whose answers are known, and hostile ones, whose status is.

use serde_json::{Value, json};

use super::client::request;

/// Random numbers from a seed: Marsaglia's xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number from 0 to below `below`.
    pub fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// A text of some words, most of them short, one in ten up to 600 words.
fn text(random: &mut Random) -> String {
    let longest = if random.next(10) == 0 { 600 } else { 40 };
    let count = 1 + random.next(longest);
    let words: Vec<String> = (0..count).map(|_| format!("w{}", random.next(9000))).collect();
    words.join(" ")
}

/// A request that is answered with 200, and how many answers it gets.
pub struct Good {
    pub path: &'static str,
    pub body: String,
    answers: usize,
}

impl Good {
    pub fn draw(random: &mut Random) -> Self {
        let answers = if random.next(4) == 0 { 1 + random.next(8) } else { 1 };
        let texts: Vec<String> = (0..answers).map(|_| text(random)).collect();
        match random.next(3) {
            0 => Self { path: "/embed", body: json!({ "inputs": texts }).to_string(), answers },
            _ => {
                let texts: Vec<_> = texts.iter().map(|text| [text]).collect();
                Self { path: "/predict", body: json!({ "inputs": texts }).to_string(), answers }
            }
        }
    }

    /// # Errors
    /// The answer is not that of this request.
    pub fn check(&self, status: u16, body: &[u8]) -> Result<(), String> {
        let said = || String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        if status != 200 {
            return Err(format!("{} {}: status {status}: {}", self.path, self.body, said()));
        }
        let found: Value = serde_json::from_slice(body).map_err(|e| format!("{}: {e}: {}", self.path, said()))?;
        let is_answer = |answer: &Value| match self.path {
            "/predict" => answer.as_array().is_some_and(|labels| {
                let sum: f64 = labels.iter().filter_map(|label| label["score"].as_f64()).sum();
                labels.len() == 2 && (sum - 1.0).abs() < 1e-3
            }),
            _ => answer.as_array().is_some_and(|values| !values.is_empty() && values.iter().all(Value::is_number)),
        };
        match found.as_array() {
            Some(all) if all.len() == self.answers && all.iter().all(is_answer) => Ok(()),
            _ => Err(format!("{}: {} answers were wanted: {}", self.path, self.answers, said())),
        }
    }
}

/// What a hostile client does with a connection, and what it is told.
pub enum Hostile {
    /// Sends these bytes, and is answered with one of these statuses. `may_close`: it sends more than the server reads, which may close the
    /// connection before the answer is read.
    Refused { name: &'static str, bytes: Vec<u8>, statuses: &'static [u16], may_close: bool },
    /// Sends these bytes and leaves.
    Leaves(Vec<u8>),
}

/// Kinds of hostile requests.
pub const KINDS: usize = 14;

impl Hostile {
    /// One of the kind `number` below [`KINDS`]. The server takes bodies of up to `body` bytes.
    pub fn of(number: usize, body: usize, random: &mut Random) -> Self {
        let refused = |name, bytes, statuses| Self::Refused { name, bytes, statuses, may_close: false };
        let closing = |name, bytes, statuses| Self::Refused { name, bytes, statuses, may_close: true };
        let post = |body: &[u8]| request("POST", "/predict", body);
        match number {
            0 => refused("cut JSON", post(br#"{"inputs": "w1 w2"#), &[400]),
            1 => refused("no UTF-8", post(b"{\"inputs\": \"\xc3\x28\"}"), &[400]),
            2 => {
                let deep = [b"{\"inputs\":".to_vec(), vec![b'['; 20_000]].concat();
                refused("deep nesting", post(&deep), &[400])
            }
            3 => refused("an unknown key", post(br#"{"inputs": "w1", "input": 1}"#), &[422]),
            4 => refused("too many texts", post(json!({ "inputs": vec![["w1"]; 33] }).to_string().as_bytes()), &[413]),
            5 => refused("no such route", request("POST", "/nowhere", b"{}"), &[404]),
            6 => refused("another method", request("DELETE", "/predict", b""), &[405]),
            7 => {
                let text =
                    "POST /predict HTTP/1.1\r\nhost: soak\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\n{}";
                refused("another type", text.into(), &[415])
            }
            8 => closing("a body that is too large", post(&vec![b'a'; body + 1 + random.next(body)]), &[413]),
            9 => {
                let lines: String = (0..2000).map(|number| format!("x-{number}: a\r\n")).collect();
                closing("many headers", format!("GET / HTTP/1.1\r\nhost: soak\r\n{lines}\r\n").into(), &[431])
            }
            10 => {
                let noise: Vec<u8> = (0..300).map(|_| 128 + random.next(128) as u8).collect();
                closing("no HTTP", [&noise[..], b"\r\n\r\n"].concat(), &[400])
            }
            11 => {
                let head = "POST /predict HTTP/1.1\r\nhost: soak\r\ncontent-length: 30\r\n\r\n{\"inputs\"";
                refused("a slow body", head.into(), &[408])
            }
            12 => {
                let whole = post(br#"{"inputs": "w1 w2 w3"}"#);
                Self::Leaves(whole[..random.next(whole.len())].to_vec())
            }
            _ => Self::Leaves(post(json!({ "inputs": vec![[text(random)]; 8] }).to_string().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_form_is_found() {
        let good = Good { path: "/predict", body: String::new(), answers: 1 };
        let labels = |a: f64| format!(r#"[[{{"label": "bad", "score": {a}}}, {{"label": "good", "score": 0.25}}]]"#);
        assert_eq!(good.check(200, labels(0.75).as_bytes()), Ok(()));
        assert!(good.check(429, b"{}").unwrap_err().contains("429"));
        for wrong in [labels(0.5), "[]".into(), "{".into(), "[[], []]".into()] {
            assert!(good.check(200, wrong.as_bytes()).is_err(), "{wrong}");
        }
        let vectors = Good { path: "/embed", body: String::new(), answers: 2 };
        assert_eq!(vectors.check(200, b"[[0.5, 1], [0.1, -2]]"), Ok(()));
        assert!(vectors.check(200, b"[[0.5, 1], [null, 2]]").is_err());
    }

    #[test]
    fn every_kind_of_hostile_request_exists_and_good_ones_are_json() {
        let mut random = Random::new(3);
        for number in 0..KINDS {
            match Hostile::of(number, 1000, &mut random) {
                Hostile::Refused { bytes, statuses, .. } => assert!(!bytes.is_empty() && !statuses.is_empty()),
                Hostile::Leaves(bytes) => assert!(number >= 12 && bytes.len() < 100_000),
            }
        }
        for _ in 0..50 {
            let good = Good::draw(&mut random);
            let body: Value = serde_json::from_str(&good.body).unwrap();
            assert_eq!(body["inputs"].as_array().unwrap().len(), good.answers);
        }
    }
}
