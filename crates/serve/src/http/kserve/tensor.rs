//! Tensors and their elements.

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// Elements of a tensor, row after row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Data {
    /// `FP32`.
    Floats(Vec<f32>),
    /// `INT64`.
    Integers(Vec<i64>),
    /// `BYTES`, which are texts here.
    Texts(Vec<String>),
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Data,
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// The datatype in messages.
    pub fn datatype(&self) -> &'static str {
        match self {
            Self::Floats(_) => "FP32",
            Self::Integers(_) => "INT64",
            Self::Texts(_) => "BYTES",
        }
    }

    /// The elements in binary form: little-endian numbers, texts each behind its length of 4 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Floats(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Integers(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Texts(values) => {
                let mut bytes = Vec::new();
                for text in values {
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                bytes
            }
        }
    }
}

/// The number of elements of a shape.
///
/// # Errors
/// It is beyond what is counted.
fn elements(name: &str, shape: &[usize]) -> Result<usize, Failure> {
    let product = shape.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
    product.ok_or_else(|| Failure::malformed(format!("input `{name}`: its shape {shape:?} is too large")))
}

impl Tensor {
    pub fn new(name: &str, shape: Vec<usize>, data: Data) -> Self {
        Self { name: name.to_owned(), shape, data }
    }

    /// A tensor from the nested or flat list of its elements.
    ///
    /// # Errors
    /// Another datatype, elements of another kind, or another number of them.
    pub fn from_json(name: String, shape: Vec<usize>, datatype: &str, list: &Value) -> Result<Self, Failure> {
        let wrong = |found: Value| {
            let found = found.to_string();
            let found: String = found.chars().take(40).collect();
            Failure::malformed(format!("input `{name}`: {found} is no element of {datatype}"))
        };
        let data = match datatype {
            "BYTES" => Data::Texts(flat(list, &|v| v.as_str().map(str::to_owned)).map_err(wrong)?),
            "INT64" | "INT32" => Data::Integers(flat(list, &Value::as_i64).map_err(wrong)?),
            other => return Err(unknown(&name, other)),
        };
        Self { name, shape, data }.checked()
    }

    /// A tensor from its elements in binary form.
    ///
    /// # Errors
    /// Another datatype, another number of elements, or texts that are no UTF-8.
    pub fn from_bytes(name: String, shape: Vec<usize>, datatype: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let wrong = |reason: &str| Failure::malformed(format!("input `{name}`: {reason}"));
        let data = match datatype {
            "INT64" => {
                let chunks = bytes.chunks_exact(8);
                if !chunks.remainder().is_empty() {
                    return Err(wrong("its bytes are no whole numbers of 8"));
                }
                Data::Integers(chunks.map(|c| i64::from_le_bytes(c.try_into().unwrap_or_default())).collect())
            }
            "INT32" => {
                let chunks = bytes.chunks_exact(4);
                if !chunks.remainder().is_empty() {
                    return Err(wrong("its bytes are no whole numbers of 4"));
                }
                let value = |c: &[u8]| i64::from(i32::from_le_bytes(c.try_into().unwrap_or_default()));
                Data::Integers(chunks.map(value).collect())
            }
            "BYTES" => {
                let (mut texts, mut rest) = (Vec::new(), bytes);
                while let Some((length, after)) = rest.split_first_chunk::<4>() {
                    let length = u32::from_le_bytes(*length) as usize;
                    let text = after.get(..length).ok_or_else(|| wrong("a text is cut off"))?;
                    let text = std::str::from_utf8(text).map_err(|_| wrong("a text is no UTF-8"))?;
                    texts.push(text.to_owned());
                    rest = &after[length..];
                }
                if !rest.is_empty() {
                    return Err(wrong("its last bytes are no length of a text"));
                }
                Data::Texts(texts)
            }
            other => return Err(unknown(&name, other)),
        };
        Self { name, shape, data }.checked()
    }

    fn checked(self) -> Result<Self, Failure> {
        let (found, wanted) = (self.data.len(), elements(&self.name, &self.shape)?);
        if found != wanted {
            let (name, shape) = (&self.name, &self.shape);
            return Err(Failure::malformed(format!("input `{name}`: {found} elements for the shape {shape:?}")));
        }
        Ok(self)
    }
}

fn unknown(name: &str, datatype: &str) -> Failure {
    Failure::malformed(format!("input `{name}`: datatype `{datatype}` is not taken; use BYTES, INT64 or INT32"))
}

/// The elements of a nested list, or the first that is of another kind. serde_json bounds how deep it is.
fn flat<T>(list: &Value, element: &impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Value> {
    fn walk<T>(value: &Value, element: &impl Fn(&Value) -> Option<T>, all: &mut Vec<T>) -> Result<(), Value> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| walk(value, element, all)),
            value => {
                all.push(element(value).ok_or_else(|| value.clone())?);
                Ok(())
            }
        }
    }
    let mut all = Vec::new();
    walk(list, element, &mut all)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(datatype: &str, shape: &[usize], bytes: &[u8]) -> Result<Data, String> {
        let read = Tensor::from_bytes("x".into(), shape.to_vec(), datatype, bytes);
        read.map(|tensor| tensor.data).map_err(|failure| failure.message)
    }

    #[test]
    fn what_is_written_as_bytes_is_read_again() {
        let texts = Data::Texts(vec!["".into(), "ünder".into()]);
        assert_eq!(read("BYTES", &[2], &texts.to_bytes()), Ok(texts));
        let numbers = Data::Integers(vec![-1, i64::MAX]);
        assert_eq!(read("INT64", &[2, 1], &numbers.to_bytes()), Ok(numbers));
        assert_eq!(read("INT32", &[1], &(-7i32).to_le_bytes()), Ok(Data::Integers(vec![-7])));
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused_with_the_reason() {
        assert!(read("BYTES", &[1], &[5, 0, 0, 0, 97]).unwrap_err().contains("cut off"));
        assert!(read("BYTES", &[1], &[255, 255, 255, 255]).unwrap_err().contains("cut off"));
        assert!(read("BYTES", &[1], &[1, 0, 0, 0, 255]).unwrap_err().contains("UTF-8"));
        assert!(read("BYTES", &[1], &[1, 0]).unwrap_err().contains("length"));
        assert!(read("INT64", &[1], &[0; 9]).unwrap_err().contains("whole numbers"));
        assert!(read("INT64", &[3], &[0; 16]).unwrap_err().contains("2 elements for the shape [3]"));
        assert!(read("INT64", &[usize::MAX, 2], &[]).unwrap_err().contains("too large"));
        assert!(read("FP16", &[1], &[0; 2]).unwrap_err().contains("FP16"));
    }

    #[test]
    fn nested_and_flat_lists_are_the_same() {
        let read = |list| Tensor::from_json("x".into(), vec![2, 2], "INT64", &list).map(|tensor| tensor.data);
        let wanted = Data::Integers(vec![1, 2, 3, 4]);
        assert_eq!(read(json!([[1, 2], [3, 4]])).unwrap(), wanted);
        assert_eq!(read(json!([1, 2, 3, 4])).unwrap(), wanted);
        assert!(read(json!([1, 2, 3, "4"])).unwrap_err().message.contains("\"4\" is no element of INT64"));
        assert!(read(json!([1, 2, 3])).unwrap_err().message.contains("3 elements"));
    }
}
