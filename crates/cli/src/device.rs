//! From `--device` to devices.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};
use run_store::contain;

use crate::error::CliError;

/// Kinds of devices; every build has the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// This machine's processor.
    Cpu,
    /// An NVIDIA card (feature `cuda`).
    Cuda,
    /// A graphics card through Vulkan, Metal or DirectX (feature `wgpu`).
    Wgpu,
}

impl DeviceKind {
    const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Wgpu];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// The device of this kind that `number` names, else the one that the system prefers.
    fn device(self, number: Option<usize>) -> Result<Device, CliError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda => cuda(number),
            Self::Wgpu => wgpu(number),
        }
    }
}

/// What `--device` names: one device, or several of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNames {
    kind: DeviceKind,
    /// The number of each; `None` where it has none.
    numbers: Vec<Option<usize>>,
}

impl DeviceNames {
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Opens them, in order.
    pub fn open(&self) -> Result<Vec<Device>, CliError> {
        self.numbers.iter().map(|&number| self.open_one(number)).collect()
    }

    fn open_one(&self, number: Option<usize>) -> Result<Device, CliError> {
        let device = self.kind.device(number)?;
        if self.kind == DeviceKind::Cpu {
            return Ok(device);
        }
        // Drivers are looked for at the first use, and a missing one is a panic there.
        let works = contain::call(|| Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>() == 2.0);
        let name = one_name(self.kind, number);
        match works {
            Ok(true) => Ok(device),
            Ok(false) => Err(CliError::failed(format!("--device {name}: it computes 1 + 1 wrongly"))),
            Err(panic) => {
                let said = panic.said.lines().next().unwrap_or_default();
                Err(CliError::failed(format!(
                    "--device {name}: this machine has no such device, or no driver for it: {said}"
                )))
            }
        }
    }
}

fn one_name(kind: DeviceKind, number: Option<usize>) -> String {
    number.map_or_else(|| kind.name().to_owned(), |number| format!("{}:{number}", kind.name()))
}

impl fmt::Display for DeviceNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.numbers.iter().map(|&number| one_name(self.kind, number)).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for DeviceNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || DeviceKind::ALL.map(DeviceKind::name).join(", ");
        let mut found: Option<Self> = None;
        for word in text.split(',') {
            let (name, number) = match word.split_once(':') {
                Some((name, number)) => {
                    let number =
                        number.parse().map_err(|_| format!("`{word}`: `{number}` is no number of a device"))?;
                    (name, Some(number))
                }
                None => (word, None),
            };
            let kind = DeviceKind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| format!("unknown device `{name}`: one of {}", known()))?;
            if kind == DeviceKind::Cpu && number.is_some() {
                return Err(format!("`{word}`: the processor has no number; several `cpu` divide its threads"));
            }
            let all = found.get_or_insert_with(|| Self { kind, numbers: Vec::new() });
            if all.kind != kind {
                return Err(format!("{} and {name}: a training runs on devices of one kind", all.kind.name()));
            }
            if kind != DeviceKind::Cpu && all.numbers.contains(&number) {
                return Err(format!("`{word}` is named twice"));
            }
            all.numbers.push(number);
        }
        let all = found.ok_or("no device is named")?;
        if all.kind != DeviceKind::Cpu && all.count() > 1 && all.numbers.contains(&None) {
            return Err(format!("`{all}`: of several devices, each needs its number, such as {}:0", all.kind.name()));
        }
        Ok(all)
    }
}

#[cfg(feature = "cuda")]
fn cuda(number: Option<usize>) -> Result<Device, CliError> {
    Ok(Device::cuda(number.unwrap_or(0)))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: Option<usize>) -> Result<Device, CliError> {
    Err(not_built("cuda"))
}

#[cfg(feature = "wgpu")]
fn wgpu(number: Option<usize>) -> Result<Device, CliError> {
    use burn::tensor::{DeviceKind, DeviceType};
    let Some(number) = number else { return Ok(Device::wgpu(DeviceKind::DefaultDevice)) };
    let found = contain::call(|| Device::enumerate(DeviceType::Wgpu).iter().cloned().collect::<Vec<_>>());
    let found = found.unwrap_or_default();
    let known = found.len();
    found.into_iter().nth(number).ok_or_else(|| {
        CliError::failed(format!("--device wgpu:{number}: this machine has {known} of them, counted from 0"))
    })
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(_: Option<usize>) -> Result<Device, CliError> {
    Err(not_built("wgpu"))
}

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn not_built(name: &str) -> CliError {
    CliError::usage(format!("--device {name}: this program was built without {name}")).with_hint(format!(
        "build it with `cargo build --release --workspace --bin efficientbert --features efficientbert/{name}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_and_several_of_a_kind_are_read_and_shown() {
        for text in ["cpu", "cpu,cpu", "cuda", "cuda:1", "cuda:0,cuda:1", "wgpu:3,wgpu:0"] {
            let names: DeviceNames = text.parse().expect(text);
            assert_eq!(names.to_string(), text);
            assert_eq!(names.count(), text.split(',').count());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, reason) in [
            ("gpu", "unknown device `gpu`: one of cpu, cuda, wgpu"),
            ("", "unknown device ``"),
            ("cpu:1", "no number"),
            ("cuda:x", "`x` is no number"),
            ("cuda:-1", "`-1` is no number"),
            ("cuda:0,cuda:0", "`cuda:0` is named twice"),
            ("cuda,cuda:1", "each needs its number"),
            ("cuda:0,wgpu:0", "devices of one kind"),
            ("cpu,", "unknown device ``"),
        ] {
            let error = text.parse::<DeviceNames>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
