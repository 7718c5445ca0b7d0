//! Event files read back by a reader that shares nothing with the writer.

mod reader;

use reader::{Event, events};
use report::tensorboard::{head, scalars};

#[test]
fn a_file_is_read_back_as_it_was_written() {
    let tag = |name: &str, value: f64| (name.to_string(), value);
    let long = "x".repeat(300);
    let mut file = head(1.5e9, None);
    file.extend(scalars(1.5e9 + 0.25, 10, &[tag("loss/total", 0.5), tag("dev/sst-2/accuracy", -1e-9)]));
    file.extend(scalars(1.5e9 + 0.5, u64::MAX / 2, &[tag(&long, f64::INFINITY)]));
    file.extend(scalars(1.5e9 + 1.0, 0, &[]));
    let events = events(&file);
    assert_eq!(events.len(), 4);
    assert_eq!(events[0], Event { time: 1.5e9, version: "brain.Event:2".into(), ..Event::default() });
    assert_eq!((events[1].time, events[1].step), (1.5e9 + 0.25, 10));
    assert_eq!(events[1].values, [("loss/total".to_string(), 0.5), ("dev/sst-2/accuracy".to_string(), -1e-9)]);
    assert_eq!((events[2].step, &events[2].values[0]), (u64::MAX / 2, &(long, f32::INFINITY)));
    assert!(events[3].values.is_empty());
}

#[test]
fn a_file_that_goes_on_says_from_which_step_earlier_files_no_longer_count() {
    let file = head(2.0, Some(201));
    let events = events(&file);
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].version, "brain.Event:2");
    assert!(events[1].restart && events[1].step == 201 && !events[0].restart);
}
