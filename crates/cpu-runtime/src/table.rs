//! Embedding tables in the model's number format.

use cpu_kernels::elementwise::to_bf16;
use encoder_spec::{Floats, MappedTensor, Precision};

/// Value to look up.
#[derive(Debug)]
pub(crate) struct Words {
    rows: usize,
    width: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Floats),
    /// Lies in memory that is not this model's; a row is brought to the format when it is looked up.
    Shared(Floats, Precision),
    /// Upper halves of the `f32`, rounded to nearest even.
    Bf16(Vec<u16>),
    /// `value = byte * scale`, one scale per row.
    Int8 {
        bytes: Vec<i8>,
        scales: Vec<f32>,
    },
}

impl Words {
    /// The table in that format. In `f32`, or where it lies in shared memory, nothing is copied.
    pub fn new(table: MappedTensor, precision: Precision) -> Self {
        let (rows, width) = (table.shape[0], table.shape[1]);
        let values = match precision {
            Precision::F32 => Values::F32(table.data),
            format if table.data.are_shared() => Values::Shared(table.data, format),
            Precision::Bf16 => Values::Bf16(table.data.iter().map(|v| to_bf16(*v)).collect()),
            Precision::Int8 => {
                let (mut bytes, mut scales) = (vec![0; table.data.len()], Vec::with_capacity(rows));
                for (bytes, row) in bytes.chunks_exact_mut(width).zip(table.data.chunks_exact(width)) {
                    let (inverse, scale) = scales_of(row);
                    bytes.iter_mut().zip(row).for_each(|(byte, v)| *byte = to_byte(*v, inverse));
                    scales.push(scale);
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
            Values::F32(v) | Values::Shared(v, _) => v.len() * 4,
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
            Values::F32(v) | Values::Shared(v, Precision::F32) => out.copy_from_slice(&v[at]),
            Values::Bf16(v) => out.iter_mut().zip(&v[at]).for_each(|(o, h)| *o = from_bf16(*h)),
            Values::Shared(v, Precision::Bf16) => {
                out.iter_mut().zip(&v[at]).for_each(|(o, v)| *o = from_bf16(to_bf16(*v)));
            }
            Values::Shared(v, Precision::Int8) => {
                let row = &v[at];
                let (inverse, scale) = scales_of(row);
                out.iter_mut().zip(row).for_each(|(o, v)| *o = f32::from(to_byte(*v, inverse)) * scale);
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

/// What the values of a row are multiplied by to become bytes, and what their bytes are multiplied by.
fn scales_of(row: &[f32]) -> (f32, f32) {
    let largest = row.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    (if largest > 0.0 { 127.0 / largest } else { 0.0 }, largest / 127.0)
}

fn to_byte(value: f32, inverse: f32) -> i8 {
    (value * inverse).round() as i8
}

fn from_bf16(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> MappedTensor {
        let data: Vec<f32> = (0..21).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        MappedTensor { shape: vec![4, 7], data: [data, vec![0.0; 7]].concat().into() }
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
    fn a_shared_table_stays_where_it_is_and_gives_the_same_rows() {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let data = Floats::shared(std::sync::Arc::new(table().data.to_vec()));
            let (shared, own) =
                (Words::new(MappedTensor { data, ..table() }, precision), Words::new(table(), precision));
            let (mut a, mut b) = ([f32::NAN; 7], [f32::NAN; 7]);
            for id in 0..4 {
                shared.get(id, &mut a);
                own.get(id, &mut b);
                assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits), "{precision:?}");
            }
            assert_eq!(shared.bytes(), 28 * 4);
        }
    }

    #[test]
    fn narrow_formats_take_less_memory() {
        let bytes = |p| Words::new(table(), p).bytes();
        assert_eq!(
            [bytes(Precision::F32), bytes(Precision::Bf16), bytes(Precision::Int8)],
            [28 * 4, 28 * 2, 28 + 4 * 4]
        );
    }
}
