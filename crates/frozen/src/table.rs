//! Embedding tables in the model's number format.

use cpu_kernels::matmul::Precision;

use crate::spec::Table;

/// Rows to look up.
#[derive(Debug)]
pub(crate) struct Words {
    rows: usize,
    width: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    /// Upper halves of the `f32`, rounded to nearest even.
    Bf16(Vec<u16>),
    /// `value = byte * scale`, one scale per row.
    Int8 {
        bytes: Vec<i8>,
        scales: Vec<f32>,
    },
}

impl Words {
    /// The table in that format. In `f32` nothing is copied.
    pub fn new(table: Table, precision: Precision) -> Self {
        let (rows, width) = (table.rows, table.width);
        let values = match precision {
            Precision::F32 => Values::F32(table.data),
            Precision::Bf16 => Values::Bf16(table.data.into_iter().map(to_bf16).collect()),
            Precision::Int8 => {
                let (mut bytes, mut scales) = (Vec::with_capacity(table.data.len()), Vec::with_capacity(rows));
                for row in table.data.chunks_exact(width) {
                    let largest = row.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    bytes.extend(row.iter().map(|v| (v * inverse).round() as i8));
                    scales.push(largest / 127.0);
                }
                Values::Int8 { bytes, scales }
            }
        };
        Self { rows, width, values }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(v) => v.len() * 4,
            Values::Bf16(v) => v.len() * 2,
            Values::Int8 { bytes, scales } => bytes.len() + scales.len() * 4,
        }
    }

    /// Writes row `id` to `out`, `[width]`.
    ///
    /// # Panics
    /// There is no such row: batches are checked before.
    pub fn get(&self, id: usize, out: &mut [f32]) {
        let at = id * self.width..(id + 1) * self.width;
        match &self.values {
            Values::F32(v) => out.copy_from_slice(&v[at]),
            Values::Bf16(v) => {
                for (o, &h) in out.iter_mut().zip(&v[at]) {
                    *o = f32::from_bits(u32::from(h) << 16);
                }
            }
            Values::Int8 { bytes, scales } => {
                let scale = scales[id];
                for (o, &b) in out.iter_mut().zip(&bytes[at]) {
                    *o = f32::from(b) * scale;
                }
            }
        }
    }
}

/// Nearest `bf16`, ties to even. Weights are finite, so no NaN is handled.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let data: Vec<f32> = (0..21).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        Table { rows: 4, width: 7, data: [data, vec![0.0; 7]].concat() }
    }

    fn largest_error(precision: Precision) -> f32 {
        let words = Words::new(table(), precision);
        let mut row = [f32::NAN; 7];
        let mut worst = 0.0f32;
        for (id, expected) in table().data.chunks(7).enumerate() {
            words.get(id, &mut row);
            worst = row.iter().zip(expected).fold(worst, |w, (a, b)| w.max((a - b).abs()));
        }
        worst
    }

    #[test]
    fn rows_come_back_within_the_rounding_of_the_format() {
        assert_eq!(largest_error(Precision::F32), 0.0);
        // Values up to 0.65: half a unit in the eighth bit, and half a step of 0.65 / 127.
        assert!((1e-6..=0.65 / 256.0).contains(&largest_error(Precision::Bf16)));
        assert!((1e-6..=0.65 / 253.0).contains(&largest_error(Precision::Int8)));
    }

    #[test]
    fn narrow_formats_take_less_memory() {
        let bytes = |p| Words::new(table(), p).bytes();
        assert_eq!(
            [bytes(Precision::F32), bytes(Precision::Bf16), bytes(Precision::Int8)],
            [28 * 4, 28 * 2, 28 + 4 * 4]
        );
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        // In units of the last of eight bits above 1: 0, a half (down to even), one and a half (up to even).
        for (halves, bits) in [(0u16, 0x3f80), (1, 0x3f80), (3, 0x3f82), (4, 0x3f82)] {
            assert_eq!(to_bf16(1.0 + f32::from(halves) / 256.0), bits, "{halves}");
        }
    }
}
