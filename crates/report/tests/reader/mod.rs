//! A reader of event files that shares nothing with the writer.

/// CRC-32C by a table, as readers have it.
fn crc32c(data: &[u8]) -> u32 {
    let table: Vec<u32> =
        (0..256u32).map(|i| (0..8).fold(i, |c, _| if c % 2 == 1 { 0x82f6_3b78 ^ (c / 2) } else { c / 2 })).collect();
    let mut crc = u32::MAX;
    for byte in data {
        crc = table[((crc ^ u32::from(*byte)) % 256) as usize] ^ (crc / 256);
    }
    crc ^ u32::MAX
}

fn take<'a>(data: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (front, rest) = data.split_at(n);
    *data = rest;
    front
}

fn checked(data: &[u8], stored: &[u8]) {
    let crc = crc32c(data);
    let masked = (u64::from(crc.rotate_left(17)) + 0xa282_ead8) % (1 << 32);
    assert_eq!(masked, u64::from(u32::from_le_bytes(stored.try_into().unwrap())), "checksum");
}

/// The data of every record.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !file.is_empty() {
        let length = take(&mut file, 8);
        checked(length, take(&mut file, 4));
        let data = take(&mut file, u64::from_le_bytes(length.try_into().unwrap()) as usize);
        checked(data, take(&mut file, 4));
        all.push(data);
    }
    all
}

fn number(data: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(data, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// Fields of a message: number and raw content; a varint as its eight bytes.
fn fields(mut data: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    while !data.is_empty() {
        let key = number(&mut data);
        let content = match key % 8 {
            0 => number(&mut data).to_le_bytes().to_vec(),
            1 => take(&mut data, 8).to_vec(),
            2 => {
                let n = number(&mut data) as usize;
                take(&mut data, n).to_vec()
            }
            5 => take(&mut data, 4).to_vec(),
            kind => panic!("kind {kind}"),
        };
        all.push((key / 8, content));
    }
    all
}

#[derive(Debug, Default, PartialEq)]
pub struct Event {
    pub time: f64,
    pub step: u64,
    pub version: String,
    pub restart: bool,
    pub values: Vec<(String, f32)>,
}

fn event(data: &[u8]) -> Event {
    let mut event = Event::default();
    for (field, content) in fields(data) {
        match field {
            1 => event.time = f64::from_le_bytes(content.try_into().unwrap()),
            2 => event.step = u64::from_le_bytes(content.try_into().unwrap()),
            3 => event.version = String::from_utf8(content).unwrap(),
            5 => {
                for (field, value) in fields(&content) {
                    assert_eq!(field, 1);
                    let parts = fields(&value);
                    assert_eq!((parts[0].0, parts[1].0), (1, 2));
                    let number = f32::from_le_bytes(parts[1].1.clone().try_into().unwrap());
                    event.values.push((String::from_utf8(parts[0].1.clone()).unwrap(), number));
                }
            }
            7 => event.restart = fields(&content) == [(1, 1u64.to_le_bytes().to_vec())],
            other => panic!("field {other}"),
        }
    }
    event
}

/// Every event of a file.
pub fn events(file: &[u8]) -> Vec<Event> {
    records(file).into_iter().map(event).collect()
}
