//! What a seed makes of a scenario: other links, other moments, other victims, the same story.

use super::Scenario;
use super::topology::LinkModel;
use crate::rng::Dice;

impl Scenario {
    /// This scenario as `seed` has it: each node takes the part of another, moments shift by up to a fifth of a second
    /// either way, links are somewhat slower or faster. Seed 0 leaves it as it is written.
    ///
    /// Nodes change their parts only where the topology is the same for all: a ring, with or without chords, or a clique.
    #[must_use]
    pub fn varied(&self, seed: u64) -> Self {
        let mut scenario = self.clone();
        if seed == 0 {
            return scenario;
        }
        let mut dice = Dice::new(seed, "variant", 0);
        let nodes = self.nodes();
        let by = dice.below(nodes.max(1) as u64) as usize;
        let turned = |node: usize| Some(if self.topology.is_same_for_all() { (node + by) % nodes } else { node });
        let stretch = 0.7 + 0.6 * (dice.below(1_000) as f64 / 1e3);
        let stretched = |link: LinkModel| LinkModel {
            delay_ms: link.delay_ms * stretch,
            jitter_ms: link.jitter_ms * stretch,
            ..link
        };
        scenario.link = stretched(scenario.link);
        scenario.topology.links.iter_mut().for_each(|link| link.is = stretched(link.is));
        let last_ms = self.healed_at().as_millis() as u64;
        for fault in &mut scenario.faults {
            fault.what = fault.what.renumbered(&turned).expect("all nodes keep a number");
            if fault.at_ms > 400 {
                fault.at_ms = fault.at_ms - 200 + dice.below(400);
                fault.for_ms = fault.for_ms.min(last_ms.saturating_sub(fault.at_ms)).max(1);
                fault.at_ms = fault.at_ms.min(last_ms - fault.for_ms);
            }
        }
        scenario.traffic.publishers = scenario.traffic.publishers.renumbered(turned);
        scenario.traffic.hearers = scenario.traffic.hearers.renumbered(turned);
        scenario.traffic.workers = scenario.traffic.workers.renumbered(turned);
        scenario
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "story"
        duration_ms = 40000
        topology = { nodes = 6, shape = "ring" }
        traffic = { publishers = [0, 1] }
        [[fault]]
        at_ms = 10000
        for_ms = 5000
        what = { crash = 2 }
    "#;

    #[test]
    fn seed_0_is_as_written_and_the_others_are_not() {
        let written = Scenario::from_toml(TEXT).unwrap();
        assert_eq!(written.varied(0), written);
        let varied: Vec<Scenario> = (1..20).map(|seed| written.varied(seed)).collect();
        assert!(varied.iter().all(|scenario| scenario.check().is_ok() && scenario.healed_at() <= written.healed_at()));
        let victims: std::collections::BTreeSet<usize> = varied.iter().flat_map(|s| s.faults[0].what.nodes()).collect();
        assert!(victims.len() > 3, "{victims:?}");
        let together = |s: &Scenario| (s.traffic.publishers[0] + 2) % 6 == s.faults[0].what.nodes()[0];
        assert!(varied.iter().all(together), "the parts move together");
        assert_eq!(written.varied(3), written.varied(3));
    }

    /// Goal: on a line, where each place is another, nobody changes places.
    #[test]
    fn parts_change_only_where_places_are_alike() {
        let written = Scenario::from_toml(&TEXT.replace("ring", "line")).unwrap();
        assert!((1..20).all(|seed| written.varied(seed).faults[0].what == written.faults[0].what));
    }
}
