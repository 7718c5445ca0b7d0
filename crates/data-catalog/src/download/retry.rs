//! When to try again.

use std::time::Duration;

use crate::net::Network;

/// An attempt that brought so many bytes was worth it: failures before it no longer count.
const MUCH: u64 = 1 << 20;

/// Counts failures in a row.
pub(super) struct Patience {
    attempts: u32,
    first_wait: Duration,
    longest_wait: Duration,
    failures: u32,
}

impl Patience {
    pub fn new(network: &Network) -> Self {
        let Network { attempts, first_wait, longest_wait, .. } = *network;
        Self { attempts: attempts.max(1), first_wait, longest_wait, failures: 0 }
    }

    /// Notes a failed attempt that brought `progress` bytes; the wait before the next, or `None` if it was the last.
    pub fn after_failure(&mut self, progress: u64, server_asks: Option<u64>) -> Option<Duration> {
        if progress >= MUCH {
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures >= self.attempts {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1 << (self.failures - 1).min(16));
        Some(doubled.max(Duration::from_secs(server_asks.unwrap_or(0))).min(self.longest_wait))
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        let seconds = Duration::from_secs;
        let network = Network { attempts: 4, first_wait: seconds(1), longest_wait: seconds(3), ..Network::default() };
        Patience::new(&network)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let mut patience = patience();
        let waits: Vec<_> = (0..4).map(|_| patience.after_failure(0, None).map(|w| w.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn a_server_may_ask_for_a_longer_wait_but_not_for_any() {
        let mut patience = patience();
        assert_eq!(patience.after_failure(0, Some(2)), Some(Duration::from_secs(2)));
        assert_eq!(patience.after_failure(0, Some(4000)), Some(Duration::from_secs(3)));
    }

    #[test]
    fn progress_renews_patience() {
        let mut patience = patience();
        for _ in 0..20 {
            assert_eq!(patience.after_failure(MUCH, None), Some(Duration::from_secs(1)));
        }
        assert_eq!(patience.failures(), 1);
    }
}
