//! What a Parquet file says of itself at its end: columns, row groups, places.

use crate::codec::Codec;
use crate::thrift::{Bad, Decoded, Thrift};

/// How values are laid out in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Physical {
    Boolean,
    Int32,
    Int64,
    Float,
    Double,
    Bytes,
    Other,
}

/// A column as the schema has it.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub name: String,
    pub physical: Physical,
    /// A plain column: not inside a list or a group.
    pub flat: bool,
    pub optional: bool,
}

/// Where the pages of a column are.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub start: u64,
    pub end: u64,
    pub codec: Codec,
    pub values: u64,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub rows: u64,
    pub chunks: Vec<Chunk>,
}

#[derive(Debug, Default)]
pub(super) struct Footer {
    pub rows: u64,
    pub leaves: Vec<Leaf>,
    pub groups: Vec<Group>,
}

/// One line of the schema, a tree written in depth-first order.
#[derive(Default)]
struct Element {
    kind: Option<i64>,
    repetition: i64,
    name: String,
    children: u64,
}

impl Footer {
    /// Reads the metadata, whose first byte stands at `base`; pages lie before it.
    pub fn parse(bytes: &[u8], base: u64) -> Decoded<Self> {
        let mut thrift = Thrift::new(bytes, base);
        let mut footer = Self::default();
        let mut elements = Vec::new();
        thrift.structure(&mut |t, id, kind| {
            match id {
                2 => t.structures(kind, &mut |t| {
                    elements.push(Element::parse(t)?);
                    Ok(())
                })?,
                3 => footer.rows = t.natural(kind)?,
                4 => t.structures(kind, &mut |t| {
                    footer.groups.push(Group::parse(t, base)?);
                    Ok(())
                })?,
                8 => return t.bad("the file is encrypted, which is not supported"),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let bad = |reason: String| Err(Bad { offset: base, reason });
        footer.leaves = match leaves(&elements) {
            Ok(leaves) => leaves,
            Err(reason) => return bad(reason.to_owned()),
        };
        let mut rows = 0_u64;
        for (at, group) in footer.groups.iter().enumerate() {
            if group.chunks.len() != footer.leaves.len() {
                return bad(format!(
                    "row group {at} has {} columns, the schema has {}",
                    group.chunks.len(),
                    footer.leaves.len()
                ));
            }
            rows = rows.saturating_add(group.rows);
        }
        if rows != footer.rows {
            return bad(format!("the row groups have {rows} rows, the file says {}", footer.rows));
        }
        Ok(footer)
    }
}

impl Element {
    fn parse(thrift: &mut Thrift<'_>) -> Decoded<Self> {
        let mut element = Self::default();
        thrift.structure(&mut |t, id, kind| {
            match id {
                1 => element.kind = Some(t.integer(kind)?),
                3 => element.repetition = t.integer(kind)?,
                4 => element.name = t.text(kind)?,
                5 => element.children = t.natural(kind)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(element)
    }
}

/// The leaves of the tree in order; `Err` where the numbers of children do not add up.
fn leaves(elements: &[Element]) -> Result<Vec<Leaf>, &'static str> {
    const WRONG: &str = "the schema is damaged: its numbers of children do not add up";
    let (root, rest) = elements.split_first().ok_or("the file has no schema")?;
    // How many children every open group still waits for.
    let mut open = vec![root.children];
    let mut leaves = Vec::new();
    for element in rest {
        while open.last() == Some(&0) {
            open.pop();
        }
        let depth = open.len();
        let waiting = open.last_mut().ok_or(WRONG)?;
        *waiting -= 1;
        let Some(kind) = element.kind else {
            open.push(element.children);
            continue;
        };
        let physical = match kind {
            0 => Physical::Boolean,
            1 => Physical::Int32,
            2 => Physical::Int64,
            4 => Physical::Float,
            5 => Physical::Double,
            6 => Physical::Bytes,
            _ => Physical::Other,
        };
        let flat = depth == 1 && (0..=1).contains(&element.repetition);
        leaves.push(Leaf { name: element.name.clone(), physical, flat, optional: element.repetition == 1 });
    }
    match open.iter().all(|waiting| *waiting == 0) {
        true => Ok(leaves),
        false => Err(WRONG),
    }
}

impl Group {
    fn parse(thrift: &mut Thrift<'_>, limit: u64) -> Decoded<Self> {
        let mut group = Self::default();
        thrift.structure(&mut |t, id, kind| {
            match id {
                1 => t.structures(kind, &mut |t| {
                    group.chunks.push(Chunk::parse(t, limit)?);
                    Ok(())
                })?,
                3 => group.rows = t.natural(kind)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(group)
    }
}

impl Chunk {
    fn parse(thrift: &mut Thrift<'_>, limit: u64) -> Decoded<Self> {
        let (mut codec, mut values, mut size) = (None, None, None);
        let (mut data, mut dictionary) = (None, None);
        thrift.structure(&mut |t, id, kind| {
            match id {
                1 => {
                    if !t.text(kind)?.is_empty() {
                        return t.bad("the file keeps its columns in other files, which is not supported");
                    }
                }
                3 => t.structure(&mut |t, id, kind| {
                    match id {
                        4 => codec = Some(t.integer(kind)?),
                        5 => values = Some(t.natural(kind)?),
                        7 => size = Some(t.natural(kind)?),
                        9 => data = Some(t.natural(kind)?),
                        11 => dictionary = Some(t.natural(kind)?),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let (Some(codec), Some(values), Some(size), Some(data)) = (codec, values, size, data) else {
            return thrift.bad("a column does not say where its pages are");
        };
        // Some writers give a dictionary place of 0 where there is none.
        let start = dictionary.filter(|place| *place > 0).map_or(data, |place| place.min(data));
        match start.checked_add(size) {
            Some(end) if end <= limit => Ok(Self { start, end, codec: Codec::from_code(codec), values }),
            _ => thrift.bad(format!("a column of {size} bytes at byte {start} does not fit into the file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: Option<i64>, repetition: i64, children: u64) -> Element {
        Element { kind, repetition, name: "x".into(), children }
    }

    #[test]
    fn columns_inside_lists_and_groups_are_counted_but_not_flat() {
        // root { optional text; list { repeated group { int } }; required int }
        let tree = [
            element(None, 0, 3),
            element(Some(6), 1, 0),
            element(None, 1, 1),
            element(None, 2, 1),
            element(Some(1), 1, 0),
            element(Some(2), 0, 0),
        ];
        let found = leaves(&tree).unwrap();
        assert_eq!(
            found.iter().map(|l| (l.flat, l.optional)).collect::<Vec<_>>(),
            [(true, true), (false, true), (true, false)]
        );
        assert!(leaves(&tree[..4]).is_err());
        assert!(leaves(&[element(None, 0, 1), element(Some(1), 0, 0), element(Some(1), 0, 0)]).is_err());
        assert!(leaves(&[]).is_err());
    }
}
