//! Core delivery: what was published on core NATS and is not confirmed. Pure.
//!
//! A PONG confirms everything that went before its PING on the same connection, so no message is remembered by
//! itself: the lowest ordinal on each side of the last PING is enough.

/// The messages of one connection that a PONG must confirm.
#[derive(Debug, Default)]
pub(super) struct Core {
    /// The lowest ordinal published before the last PING, while its PONG is awaited.
    before: Option<u64>,
    /// The lowest ordinal published since.
    since: Option<u64>,
    /// The number of the last PING.
    ping: u64,
    is_waiting: bool,
    /// Another PING was wanted while one was under way.
    is_wanted: bool,
}

impl Core {
    pub(super) fn publish(&mut self, ordinal: u64) {
        self.since = Some(self.since.map_or(ordinal, |lowest| lowest.min(ordinal)));
    }

    /// The number of the PING that should be sent now, if there is something for it to confirm and none is
    /// under way. Else it is wanted when that one's PONG has come.
    pub(super) fn start_ping(&mut self) -> Option<u64> {
        if self.is_waiting {
            self.is_wanted = true;
            return None;
        }
        self.before = Some(self.since.take()?);
        self.ping += 1;
        self.is_waiting = true;
        Some(self.ping)
    }

    /// The PONG of this PING has come. Returns the number of the PING that should be sent now, if one was wanted
    /// meanwhile.
    pub(super) fn take_pong(&mut self, ping: u64) -> Option<u64> {
        if !self.is_waiting || ping != self.ping {
            return None;
        }
        self.before = None;
        self.is_waiting = false;
        if std::mem::take(&mut self.is_wanted) {
            self.start_ping()
        } else {
            None
        }
    }

    /// No message below this ordinal is unconfirmed; `None` if none is at all.
    pub(super) fn oldest(&self) -> Option<u64> {
        [self.before, self.since].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn a_pong_confirms_what_came_before_its_ping_and_nothing_else() {
        let mut random = Random::new("core pings");
        for _ in 0..2_000 {
            let mut core = Core::default();
            // The naive model: every unconfirmed ordinal, with the number of the PING behind it.
            let mut unconfirmed: Vec<(u64, Option<u64>)> = Vec::new();
            let mut ordinal = 0;
            let mut under_way = None;
            let mut is_wanted = false;
            for _ in 0..60 {
                match random.below(3) {
                    0 => {
                        ordinal += 1;
                        core.publish(ordinal);
                        unconfirmed.push((ordinal, None));
                    }
                    1 => {
                        let ping = core.start_ping();
                        let has_open = unconfirmed.iter().any(|(_, ping)| ping.is_none());
                        assert_eq!(ping.is_some(), under_way.is_none() && has_open);
                        is_wanted |= under_way.is_some();
                        if ping.is_some() {
                            under_way = ping;
                            for (_, of) in &mut unconfirmed {
                                *of = of.or(ping);
                            }
                        }
                    }
                    _ => {
                        if let Some(ping) = under_way.take() {
                            let next = core.take_pong(ping);
                            unconfirmed.retain(|(_, of)| *of != Some(ping));
                            let is_wanted = std::mem::take(&mut is_wanted);
                            assert_eq!(next.is_some(), is_wanted && !unconfirmed.is_empty());
                            under_way = next;
                            for (_, of) in &mut unconfirmed {
                                *of = of.or(next);
                            }
                        }
                    }
                }
                let oldest = unconfirmed.iter().map(|(ordinal, _)| *ordinal).min();
                assert_eq!(core.oldest(), oldest);
            }
        }
    }
}
